//! A leaked secret that somebody reports to a node, who has nothing but its text.

use std::time::Duration;

use ::http::Request;
use jeton::{
    domain::{
        ClientSecret, Clock, HashCost, OsRandom, Random, RandomFailed, SecretState, StoredSecret,
        SystemClock, TagKey,
    },
    net::Limits,
    pb::v1::{ErrorReason, ReportLeakedSecretRequest},
    registry::NewSecret,
    store::Retirement,
};
use tokio::task::JoinSet;
use tonic::{Code, Status};

use crate::support::{
    Kind, TestNode, TestNodeOptions,
    control::why,
    everything,
    http::{Answer, FORM, get, send},
    node::Credentials,
};

const PATH: &str = "/oauth2/report-leak";

async fn by_grpc(node: &TestNode, text: &str) -> Result<(), Status> {
    let request = ReportLeakedSecretRequest { client_secret: text.to_owned() };
    node.grpc.clone().report_leaked_secret(request).await.map(drop)
}

async fn by_http(node: &TestNode, text: &str) -> Answer {
    let form = format!("client_secret={text}");
    let request = Request::post(PATH).header("content-type", FORM).body(form.into_bytes());
    send(node.node.http_addr(), request.unwrap()).await
}

async fn is_active(node: &TestNode, caller: &Credentials, token: &str) -> bool {
    node.introspect(caller, token).await.unwrap().active
}

/// One more secret of a client.
async fn second(node: &TestNode, of: &Credentials, new: NewSecret) -> Credentials {
    let added = node.registry.add_secret(&of.client.client_id, new).await.unwrap();
    everything::note_secrets_in(added.1.expose());
    Credentials { client: of.client.clone(), secret: added.1 }
}

async fn stored(node: &TestNode, credentials: &Credentials) -> StoredSecret {
    let secrets = node.store.list_secrets(&credentials.client.client_id).await.unwrap();
    let mut readable = secrets.into_iter().map(Result::unwrap);
    readable.find(|secret| secret.id == credentials.secret.id()).unwrap()
}

async fn state(node: &TestNode, credentials: &Credentials) -> SecretState {
    stored(node, credentials).await.state(SystemClock.now())
}

async fn current_key(node: &TestNode) -> TagKey {
    node.store.installation().await.unwrap().tag_keys.current().clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_its_holder_reports_ends_with_its_tokens_alone() {
    for kind in Kind::BOTH {
        let node = TestNode::start(kind).await;
        let other = TestNode::beside(&node, TestNodeOptions::default()).await;
        let client = node.client("orders").await;
        let (by_rpc, by_form) = (
            second(&node, &client, NewSecret::default()).await,
            second(&node, &client, NewSecret::default()).await,
        );
        let server = node.resource_server("api").await;
        let mut tokens = Vec::new();
        for credentials in [&by_rpc, &by_form, &client] {
            tokens.push(other.issue(credentials).await.unwrap().access_token);
        }

        by_grpc(&node, by_rpc.secret()).await.unwrap();
        for (token, expected) in tokens.iter().zip([false, true, true]) {
            assert_eq!(is_active(&other, &server, token).await, expected, "{kind:?}");
        }
        let answer = by_http(&node, by_form.secret()).await;
        assert_eq!((answer.status.as_u16(), &*answer.body), (202, &b""[..]), "{kind:?}");
        assert_eq!(answer.header("cache-control"), "no-store");
        for (token, expected) in tokens.iter().zip([false, false, true]) {
            assert_eq!(is_active(&other, &server, token).await, expected, "{kind:?}");
        }
        for refused in [&by_rpc, &by_form] {
            let status = other.issue(refused).await.unwrap_err();
            assert_eq!(status.code(), Code::Unauthenticated, "{kind:?}");
        }
        other.issue(&client).await.unwrap();

        // The trail says that it was the holder, from where, and that it happened once for each.
        let trail = node.store.last_of_audit(Some(&client.client.client_id), 20).await.unwrap();
        let by_holder = trail.into_iter().flatten().filter(|entry| {
            entry.actor.as_deref() == Some("holder:127.0.0.1") && entry.action == "secret.update"
        });
        let mut subjects: Vec<_> = by_holder.map(|entry| entry.subject.unwrap()).collect();
        let mut expected = [by_rpc.secret.id().0, by_form.secret.id().0];
        subjects.sort_unstable();
        expected.sort_unstable();
        assert_eq!(subjects, expected, "{kind:?}");
    }
}

/// Nobody learns whether a secret is live, or was made here at all.
#[tokio::test(flavor = "multi_thread")]
async fn every_text_of_a_secret_is_answered_alike() {
    for kind in Kind::BOTH {
        let node = TestNode::start(kind).await;
        let (live, deleted) = (node.client("orders").await, node.client("deleted").await);
        let retired = second(&node, &live, NewSecret::default()).await;
        let leaked = second(&node, &live, NewSecret::default()).await;
        let ended = SystemClock.now().minus(Duration::from_secs(1));
        let expires_at = Some(ended);
        let expired = second(&node, &live, NewSecret { expires_at, ..NewSecret::default() }).await;
        let token = node.issue(&retired).await.unwrap().access_token;
        let id = &live.client.client_id;
        for (of, by) in [(&retired, Retirement::Retired), (&leaked, Retirement::Leaked)] {
            node.registry.retire_secret(id, of.secret.id(), by).await.unwrap();
        }
        assert!(is_active(&node, &live, &token).await);
        node.registry.delete_client(&deleted.client.client_id).await.unwrap();
        let (foreign, ours) = (TagKey::from_bytes([7; 32]), current_key(&node).await);
        let foreign = ClientSecret::generate(&OsRandom, &foreign).unwrap();
        let unknown = ClientSecret::generate(&OsRandom, &ours).unwrap();
        let mut wrong = live.secret().to_owned();
        wrong.replace_range(40..41, if &wrong[40..41] == "A" { "B" } else { "A" });
        let before = stored(&node, &leaked).await.leaked_at;

        let texts = [foreign.expose(), unknown.expose(), &wrong];
        let known = [&retired, &leaked, &expired, &deleted, &retired].map(Credentials::secret);
        let mut answers = Vec::new();
        for text in texts.into_iter().chain(known) {
            by_grpc(&node, text).await.unwrap();
            let mut answer = by_http(&node, text).await;
            answer.headers.remove("date");
            answer.headers.remove("x-request-id");
            answers.push((answer.status, answer.headers, answer.body));
        }
        assert!(answers.iter().all(|answer| *answer == answers[0]), "{kind:?}: {answers:?}");
        assert_eq!(answers[0].0, 202);

        // What was out of use already is of no use now, nor are its tokens.
        for of in [&retired, &leaked, &expired] {
            assert_eq!(state(&node, of).await, SecretState::Leaked, "{kind:?}");
        }
        assert_eq!(stored(&node, &leaked).await.leaked_at, before, "it leaked then");
        assert!(!is_active(&node, &live, &token).await, "{kind:?}");
        node.issue(&live).await.unwrap();
    }
}

/// Begins with the id of a secret, and goes on by chance.
struct Forger(ClientSecret);

impl Random for Forger {
    fn fill(&self, bytes: &mut [u8]) -> Result<(), RandomFailed> {
        if bytes.len() == 16 {
            bytes.copy_from_slice(self.0.id().0.as_bytes());
            return Ok(());
        }
        OsRandom.fill(bytes)
    }
}

/// The ids of secrets are no secret, and a thief of the database has the tag key.
#[tokio::test(flavor = "multi_thread")]
async fn whoever_has_the_tag_key_and_not_the_secret_burns_nothing() {
    for kind in Kind::BOTH {
        let node = TestNode::start(kind).await;
        let client = node.client("orders").await;
        let thief = Forger(ClientSecret::parse(client.secret()).unwrap());
        let forged = ClientSecret::generate(&thief, &current_key(&node).await).unwrap();
        assert_eq!(forged.id(), client.secret.id());
        by_grpc(&node, forged.expose()).await.unwrap();
        assert_eq!(by_http(&node, forged.expose()).await.status, 202);
        assert_eq!(state(&node, &client).await, SecretState::Live, "{kind:?}");

        // And the real one is not kept from being reported by that.
        by_grpc(&node, client.secret()).await.unwrap();
        assert_eq!(state(&node, &client).await, SecretState::Leaked, "{kind:?}");
    }
}

/// What is no secret was copied wrongly. That is said, since it says nothing about any secret.
#[tokio::test(flavor = "multi_thread")]
async fn a_mistake_of_the_holder_is_named() {
    for kind in Kind::BOTH {
        let node = TestNode::start(kind).await;
        let client = node.client("orders").await;
        let token = node.issue(&client).await.unwrap().access_token;
        let secret = client.secret();
        for (text, said) in [
            ("", "the secret is missing: send it as client_secret"),
            (&secret[..78], "complete and not encoded"),
            (&token, "tokens (jta_) are not reported but revoked"),
            ("password", "this is no client secret"),
        ] {
            let refused = by_grpc(&node, text).await.unwrap_err();
            assert_eq!(why(&refused).0, ErrorReason::InvalidRequest, "{text}");
            assert!(refused.message().contains(said), "{refused:?}");
            let answer = by_http(&node, text).await;
            assert_eq!(answer.status, 400, "{text}");
            let told = answer.json();
            assert_eq!(told["error"], "invalid_request");
            assert!(told["error_description"].as_str().unwrap().contains(said), "{told}");
        }
        let http = node.node.http_addr();
        let query = format!("{PATH}?client_secret={secret}");
        assert_eq!(get(http, &query).await.status, 405);
        let request = Request::post(query).header("content-type", FORM).body(Vec::new());
        assert_eq!(send(http, request.unwrap()).await.status, 400);
        assert_eq!(state(&node, &client).await, SecretState::Live, "{kind:?}");
        assert!(is_active(&node, &client, &token).await);

        let found = get(http, "/.well-known/oauth-authorization-server").await.json();
        let endpoint = found["leak_report_endpoint"].as_str().unwrap();
        assert_eq!(endpoint, format!("{}{PATH}", node.node.issuer()));
    }
}

/// A holder who is told that all is well will not come again.
#[tokio::test(flavor = "multi_thread")]
async fn a_report_that_cannot_be_acted_upon_is_a_fault() {
    for kind in Kind::BOTH {
        let node = TestNode::start(kind).await;
        let client = node.client("orders").await;
        node.issue(&client).await.unwrap();
        node.store.close().await;
        let refused = by_grpc(&node, client.secret()).await.unwrap_err();
        assert_eq!(why(&refused).0, ErrorReason::Unavailable, "{kind:?}");
        let answer = by_http(&node, client.secret()).await;
        assert_eq!(answer.status, 503, "{kind:?}");
        assert!(!answer.header("retry-after").is_empty());
    }
}

/// How many secrets were hashed on this node.
async fn hashes(node: &TestNode) -> u64 {
    let page = get(node.node.probe_addr(), "/metrics").await;
    let page = String::from_utf8(page.body.to_vec()).unwrap();
    let count =
        page.lines().find_map(|line| line.strip_prefix("jeton_hash_duration_seconds_count "));
    count.unwrap_or_else(|| panic!("{page}")).parse().unwrap()
}

/// Old secrets have a right tag, and their holders have time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_reports_costs_few_hashes_and_holds_nobody_up() {
    // Slow enough that those who come at once are there at once.
    let hash_cost = HashCost { memory_kib: 16_384, passes: 1, lanes: 1 };
    let limits = Limits { max_failures_per_second: 0, ..TestNodeOptions::default().limits };
    let options = TestNodeOptions { limits, hash_cost, ..TestNodeOptions::default() };
    let node = TestNode::start_with(Kind::Sqlite, options).await;
    let client = node.client("orders").await;
    let token = node.issue(&client).await.unwrap().access_token;
    let key = current_key(&node).await;
    let before = hashes(&node).await;
    let old = ClientSecret::generate(&OsRandom, &key).unwrap();
    let foreign = ClientSecret::generate(&OsRandom, &TagKey::from_bytes([7; 32])).unwrap();
    for _ in 0..20 {
        by_grpc(&node, old.expose()).await.unwrap();
        by_grpc(&node, foreign.expose()).await.unwrap();
    }
    assert_eq!(
        hashes(&node).await,
        before + 1,
        "one for the old one, and none for the foreign one"
    );

    let mut reports = JoinSet::new();
    for _ in 0..64 {
        let (mut grpc, text) = (node.grpc.clone(), ClientSecret::generate(&OsRandom, &key));
        let client_secret = text.unwrap().expose().to_owned();
        reports.spawn(async move {
            let request = ReportLeakedSecretRequest { client_secret };
            grpc.report_leaked_secret(request).await.map(drop)
        });
    }
    for _ in 0..20 {
        node.issue(&client).await.unwrap();
        assert!(is_active(&node, &client, &token).await);
    }
    let refused: Vec<_> = reports.join_all().await.into_iter().filter_map(Result::err).collect();
    assert!(!refused.is_empty() && refused.len() < 64, "{}", refused.len());
    for status in refused {
        assert_eq!(why(&status).0, ErrorReason::TooManyRequests, "{status:?}");
    }
}

/// On a connection that others use, the source is told to wait, and they are not.
#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_reports_without_end_is_told_to_wait() {
    let limits = Limits { max_failures_per_second: 20, ..TestNodeOptions::default().limits };
    let options = TestNodeOptions { limits, ..TestNodeOptions::default() };
    let node = TestNode::start_with(Kind::Sqlite, options).await;
    let client = node.client("orders").await;
    node.issue(&client).await.unwrap();
    let foreign = ClientSecret::generate(&OsRandom, &TagKey::from_bytes([7; 32])).unwrap();
    let mut refused = 0;
    for _ in 0..200 {
        if let Err(status) = by_grpc(&node, foreign.expose()).await {
            assert_eq!(why(&status).0, ErrorReason::TooManyRequests, "{status:?}");
            refused += 1;
        }
        node.issue(&client).await.unwrap();
    }
    assert!(refused > 0, "two hundred reports, of twenty a second");
}
