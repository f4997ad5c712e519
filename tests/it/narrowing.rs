//! What is taken from a client is gone from its live tokens, on every node, at the next
//! introspection.

use std::collections::BTreeSet;

use jeton::{
    domain::{Audience, OsRandom, Random, Scope},
    pb::v1::{IntrospectTokenResponse, IssueTokenRequest},
    registry::NewClient,
};

use crate::{
    edits::until_trusted,
    support::{
        Kind, TestNode, TestNodeOptions, everything,
        http::post_form,
        node::{Credentials, issue_request, new_client},
    },
};

const SCOPES: [&str; 3] = ["read", "write", "admin"];
const AUDIENCES: [&str; 3] = ["https://x.test", "https://y.test", "https://z.test"];

type Names = BTreeSet<&'static str>;

/// Choices that a seed repeats.
struct Dice {
    seed: u32,
    state: u64,
}

impl Dice {
    fn new() -> Self {
        let mut seed = [0; 4];
        OsRandom.fill(&mut seed).unwrap();
        let seed = u32::from_le_bytes(seed);
        Self { seed, state: u64::from(seed) }
    }

    fn below(&mut self, end: u64) -> u64 {
        self.state = self.state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (self.state >> 33) % end
    }

    /// Each of them in two cases of three.
    fn some_of(&mut self, names: &[&'static str]) -> Names {
        names.iter().copied().filter(|_| self.below(3) > 0).collect()
    }
}

/// Two nodes, a client with tokens, and two resource servers that ask about them.
struct Town {
    nodes: [TestNode; 2],
    owner: Credentials,
    servers: [Credentials; 2],
}

impl Town {
    async fn new(kind: Kind) -> Self {
        let first = TestNode::start(kind).await;
        let second = TestNode::beside(&first, TestNodeOptions::default()).await;
        let owner = NewClient {
            scopes: Scope::parse_set(SCOPES).unwrap(),
            default_scopes: Some(BTreeSet::new()),
            audiences: Audience::parse_set(AUDIENCES).unwrap(),
            several_audiences: true,
            ..new_client("orders")
        };
        let owner = first.register(owner).await;
        let serving = |name, served: &'static str| {
            let serves = Audience::parse_set([served]).unwrap();
            NewClient { serves, audiences: BTreeSet::new(), ..new_client(name) }
        };
        let x = first.register(serving("x", AUDIENCES[0])).await;
        let y = first.register(serving("y", AUDIENCES[1])).await;
        let town = Self { nodes: [first, second], owner, servers: [x, y] };
        for node in &town.nodes {
            until_trusted(node).await;
        }
        town
    }

    async fn issue(&self, scopes: &Names, audiences: &Names) -> String {
        let request = IssueTokenRequest {
            scopes: scopes.iter().map(ToString::to_string).collect(),
            resources: audiences.iter().map(ToString::to_string).collect(),
            ..issue_request(&self.owner)
        };
        let issued = self.nodes[0].grpc.clone().issue_token(request).await.unwrap().into_inner();
        everything::note_secrets_in(&issued.access_token);
        issued.access_token
    }

    /// Sets a column of a client to these names, by hand, and waits until every node has heard.
    async fn set(&self, client: &Credentials, column: &str, names: &Names) {
        let names: Vec<_> = names.iter().copied().collect();
        let list = match self.nodes[0].database.kind {
            Kind::Postgres => format!("'{{{}}}'", names.join(",")),
            Kind::Sqlite => format!("'{}'", names.join(" ")),
        };
        let update =
            format!("update client set {column} = {list} where client_id = '{}'", client.id());
        self.nodes[0].database.execute(&update).await;
    }

    /// What each node tells this caller. They agree.
    async fn ask(&self, caller: &Credentials, token: &str) -> IntrospectTokenResponse {
        let [first, second] = &self.nodes;
        let told = first.introspect(caller, token).await.unwrap();
        let told = (told, second.introspect(caller, token).await.unwrap());
        let about = |told: &IntrospectTokenResponse| {
            (told.active, told.scopes.clone(), told.audiences.clone(), told.token_id.clone())
        };
        assert_eq!(about(&told.0), about(&told.1));
        told.0
    }
}

fn names(texts: &[String]) -> BTreeSet<&str> {
    texts.iter().map(String::as_str).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scope_or_an_audience_that_is_taken_from_a_client_is_gone_from_its_live_tokens() {
    let all = |names: [&'static str; 3]| Names::from(names);
    for kind in Kind::BOTH {
        let town = Town::new(kind).await;
        let (owner, [x, y]) = (&town.owner, &town.servers);
        let token = town.issue(&all(SCOPES), &all(AUDIENCES)).await;
        assert_eq!(town.ask(owner, &token).await.scopes, ["admin", "read", "write"]);

        town.set(owner, "scopes", &Names::from(["read"])).await;
        for caller in [owner, x, y] {
            assert_eq!(town.ask(caller, &token).await.scopes, ["read"], "{kind:?}");
        }
        town.set(owner, "audiences", &Names::from([AUDIENCES[0]])).await;
        assert_eq!(town.ask(owner, &token).await.audiences, [AUDIENCES[0]], "{kind:?}");
        assert!(town.ask(x, &token).await.active && !town.ask(y, &token).await.active);

        // What it never had is not given to it, and a token that keeps nothing is no token.
        town.set(owner, "scopes", &Names::from(["delete"])).await;
        for node in &town.nodes {
            let (id, secret, form) = (x.id(), x.secret(), format!("token={token}"));
            let told = post_form(node.node.http_addr(), "/oauth2/introspect", id, secret, &form);
            assert_eq!(told.await.body, r#"{"active":false}"#, "{kind:?}");
        }
        assert!(!town.ask(owner, &token).await.active, "{kind:?}");

        // What was taken and is given again is there again.
        town.set(owner, "scopes", &Names::from(["delete", "write"])).await;
        assert_eq!(town.ask(x, &token).await.scopes, ["write"], "{kind:?}");
        town.set(owner, "audiences", &Names::new()).await;
        assert!(!town.ask(owner, &token).await.active, "{kind:?}");
        town.set(owner, "audiences", &all(AUDIENCES)).await;
        assert!(town.ask(y, &token).await.active, "{kind:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_resource_server_that_serves_an_audience_no_longer_sees_its_tokens_no_longer() {
    for kind in Kind::BOTH {
        let town = Town::new(kind).await;
        let (owner, [x, y]) = (&town.owner, &town.servers);
        let token = town.issue(&Names::from(["read"]), &Names::from([AUDIENCES[0]])).await;
        assert!(town.ask(x, &token).await.active && !town.ask(y, &token).await.active);
        town.set(x, "serves", &Names::new()).await;
        town.set(y, "serves", &Names::from([AUDIENCES[0]])).await;
        assert!(!town.ask(x, &token).await.active && town.ask(y, &token).await.active, "{kind:?}");
        assert!(town.ask(owner, &token).await.active, "{kind:?}");
    }
}

/// What a token was issued with.
struct Issued {
    token: String,
    scopes: Names,
    audiences: Names,
}

/// The rule, written down once more: what was granted and what the client has now.
fn expected(issued: &Issued, now: (&Names, &Names), served: Option<&Names>) -> Option<[Names; 2]> {
    let scopes: Names = issued.scopes.intersection(now.0).copied().collect();
    let audiences: Names = issued.audiences.intersection(now.1).copied().collect();
    let has_lost_all = |had: &Names, left: &Names| !had.is_empty() && left.is_empty();
    if has_lost_all(&issued.scopes, &scopes) || has_lost_all(&issued.audiences, &audiences) {
        return None;
    }
    let Some(served) = served else { return Some([scopes, audiences]) };
    let own: Names = audiences.intersection(served).copied().collect();
    (!own.is_empty()).then_some([scopes, own])
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_is_taken_and_given_the_answers_are_those_of_the_rule() {
    for kind in Kind::BOTH {
        let (town, mut dice) = (Town::new(kind).await, Dice::new());
        let (mut scopes, mut audiences) = (Names::from(SCOPES), Names::from(AUDIENCES));
        let mut serves = [Names::from([AUDIENCES[0]]), Names::from([AUDIENCES[1]])];
        let mut tokens: Vec<Issued> = Vec::new();
        let (mut active, mut inactive) = (0, 0);
        for _ in 0..25 {
            match dice.below(5) {
                0 => {
                    let which = usize::from(dice.below(2) > 0);
                    serves[which] = dice.some_of(&AUDIENCES);
                    town.set(&town.servers[which], "serves", &serves[which]).await;
                }
                1 => {
                    scopes = dice.some_of(&SCOPES);
                    town.set(&town.owner, "scopes", &scopes).await;
                }
                2 => {
                    audiences = dice.some_of(&AUDIENCES);
                    town.set(&town.owner, "audiences", &audiences).await;
                }
                // A token that asks for no scopes has the default ones, and there are none.
                _ if scopes.is_empty() || audiences.is_empty() => {}
                _ => {
                    let all = (scopes.iter().copied(), audiences.iter().copied());
                    let all = (all.0.collect::<Vec<_>>(), all.1.collect::<Vec<_>>());
                    let mut asked = (dice.some_of(&all.0), dice.some_of(&all.1));
                    asked.0.insert(all.0[0]);
                    asked.1.insert(all.1[0]);
                    let token = town.issue(&asked.0, &asked.1).await;
                    tokens.push(Issued { token, scopes: asked.0, audiences: asked.1 });
                    // Each of them is asked for many times.
                    if tokens.len() > 3 {
                        tokens.remove(0);
                    }
                }
            }
            for issued in &tokens {
                let callers = [
                    (&town.owner, None),
                    (&town.servers[0], Some(&serves[0])),
                    (&town.servers[1], Some(&serves[1])),
                ];
                for (caller, served) in callers {
                    let told = town.ask(caller, &issued.token).await;
                    let seen = told.active.then(|| [names(&told.scopes), names(&told.audiences)]);
                    let expected = expected(issued, (&scopes, &audiences), served);
                    assert_eq!(seen, expected, "{kind:?}, seed {}: {}", dice.seed, caller.id());
                    *(if told.active { &mut active } else { &mut inactive }) += 1;
                }
            }
        }
        assert!(active > 0 && inactive > 0, "{kind:?}: {active} active, {inactive} not");
    }
}
