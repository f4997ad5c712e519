//! Rotation with undo, burns and narrowing on two nodes under load: every answer is what was true at
//! some moment between question and answer.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

use jeton::{
    domain::Scope,
    pb::v1::IssueTokenRequest,
    registry::{ClientUpdate, NewSecret, Registry},
    store::Retirement,
};
use tokio::task::JoinSet;
use tonic::{Code, Status};

use crate::{
    edits::until_trusted,
    support::{
        Kind, TestNode, TestNodeOptions, everything,
        node::{Credentials, issue_request},
    },
};

/// How long secrets and scopes are changed.
const LASTS: Duration = Duration::from_secs(8);

/// How long callers meet what is true after each change.
const PAUSE: Duration = Duration::from_millis(40);

/// Something that is so or not, with its changes. One ends before the next begins.
struct Truth(Mutex<Vec<Change>>);

struct Change {
    began: Instant,
    acknowledged: Option<Instant>,
    to: bool,
}

impl Truth {
    fn new(to: bool) -> Self {
        let began = Instant::now();
        Self(Mutex::new(vec![Change { began, acknowledged: Some(began), to }]))
    }

    async fn becomes<T>(&self, to: bool, change: impl Future<Output = T>) -> T {
        self.0.lock().unwrap().push(Change { began: Instant::now(), acknowledged: None, to });
        let done = change.await;
        self.0.lock().unwrap().last_mut().unwrap().acknowledged = Some(Instant::now());
        done
    }

    /// Whether this may be told by an answer between these moments: the last change that was
    /// acknowledged before it was asked holds, or any that began before it was answered.
    fn allows(&self, told: bool, asked: Instant, answered: Instant) -> bool {
        let changes = self.0.lock().unwrap();
        let is_certain = |change: &Change| change.acknowledged.is_some_and(|at| at <= asked);
        let first = changes.iter().rposition(is_certain).unwrap_or(0);
        changes[first..].iter().any(|change| change.to == told && change.began <= answered)
    }

    /// Whether it changed between these moments, as far as an answer shows it.
    fn may_have_changed(&self, asked: Instant, answered: Instant) -> bool {
        self.allows(true, asked, answered) && self.allows(false, asked, answered)
    }

    fn changes(&self) -> usize {
        self.0.lock().unwrap().len()
    }
}

struct Secret {
    credentials: Credentials,
    is_live: Truth,
    has_leaked: Truth,
}

struct Token {
    text: String,
    secret: Arc<Secret>,
    has_write: bool,
}

/// How often something was told.
#[derive(Debug, Default)]
struct Seen {
    issued: AtomicU32,
    refused: AtomicU32,
    without_scope: AtomicU32,
    active: AtomicU32,
    narrowed: AtomicU32,
    inactive: AtomicU32,
}

fn count(seen: &AtomicU32) {
    seen.fetch_add(1, Ordering::Relaxed);
}

struct Town {
    nodes: [TestNode; 2],
    server: Credentials,
    /// Those that the client uses now, the oldest first.
    secrets: Mutex<Vec<Arc<Secret>>>,
    may_write: Truth,
    tokens: Mutex<Vec<Arc<Token>>>,
    seen: Seen,
    is_over: AtomicBool,
}

impl Town {
    async fn new() -> Self {
        let first = TestNode::start(Kind::Postgres).await;
        let second = TestNode::beside(&first, TestNodeOptions::default()).await;
        let server = first.resource_server("stock").await;
        let credentials = first.client("orders").await;
        let nodes = [first, second];
        for node in &nodes {
            until_trusted(node).await;
        }
        Self {
            nodes,
            server,
            secrets: Mutex::new(vec![secret(credentials)]),
            may_write: Truth::new(true),
            tokens: Mutex::default(),
            seen: Seen::default(),
            is_over: AtomicBool::new(false),
        }
    }

    fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Relaxed)
    }

    /// Asks one node for tokens, with each secret in turn.
    async fn issue(self: Arc<Self>, node: usize) {
        // One that was refused is tried again after its next change: a node makes those wait who
        // fail too often.
        let mut refused = HashMap::new();
        let mut number = node;
        while !self.is_over() {
            number += 1;
            let secret = {
                let secrets = self.secrets.lock().unwrap();
                Arc::clone(&secrets[number % secrets.len()])
            };
            let id = secret.credentials.secret.id();
            if refused.get(&id) == Some(&secret.is_live.changes()) {
                tokio::time::sleep(Duration::from_millis(2)).await;
                continue;
            }
            let has_write = !number.is_multiple_of(3);
            let scopes: &[&str] = if has_write { &["read", "write"] } else { &["read"] };
            let request = IssueTokenRequest {
                scopes: scopes.iter().map(ToString::to_string).collect(),
                ..issue_request(&secret.credentials)
            };
            let asked = Instant::now();
            let answer = self.nodes[node].grpc.clone().issue_token(request).await;
            let times = (asked, Instant::now());
            match answer {
                Ok(issued) => {
                    let text = issued.into_inner().access_token;
                    everything::note_secrets_in(&text);
                    self.check_issued(Token { text, secret, has_write }, times);
                }
                Err(status) => {
                    self.check_refused(&status, &secret, has_write, times);
                    if status.code() == Code::Unauthenticated {
                        refused.insert(id, secret.is_live.changes());
                    }
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
            }
        }
    }

    fn check_issued(&self, token: Token, (asked, answered): (Instant, Instant)) {
        let is_live = token.secret.is_live.allows(true, asked, answered);
        assert!(is_live, "a wrong success: the secret had ended");
        let may_write = !token.has_write || self.may_write.allows(true, asked, answered);
        assert!(may_write, "a wrong success: the scope was taken away");
        count(&self.seen.issued);
        self.tokens.lock().unwrap().push(Arc::new(token));
    }

    fn check_refused(
        &self,
        status: &Status,
        secret: &Secret,
        has_write: bool,
        (asked, answered): (Instant, Instant),
    ) {
        let has_ended = secret.is_live.allows(false, asked, answered);
        let lacks_scope = has_write && self.may_write.allows(false, asked, answered);
        let is_right = match status.code() {
            Code::Unauthenticated => has_ended,
            Code::InvalidArgument => lacks_scope,
            // Only a request that fails is told to wait.
            Code::ResourceExhausted => has_ended || lacks_scope,
            // The client was changed while the token was issued: it may ask again at once.
            Code::Unavailable => {
                self.may_write.may_have_changed(asked, answered)
                    || secret.is_live.may_have_changed(asked, answered)
            }
            _ => false,
        };
        assert!(is_right, "a wrong failure: {status}");
        match status.code() {
            Code::Unauthenticated => count(&self.seen.refused),
            Code::InvalidArgument => count(&self.seen.without_scope),
            _ => {}
        }
    }

    /// Asks one node about the tokens that were issued lately.
    async fn introspect(self: Arc<Self>, node: usize) {
        let mut number = 0;
        while !self.is_over() {
            number += 1;
            let token = self.tokens.lock().unwrap().iter().rev().nth(number % 32).cloned();
            let Some(token) = token else {
                tokio::time::sleep(Duration::from_millis(1)).await;
                continue;
            };
            let asked = Instant::now();
            let told = self.nodes[node].introspect(&self.server, &token.text).await;
            let answered = Instant::now();
            let told = told.unwrap_or_else(|status| panic!("a wrong failure: {status}"));
            let is_true = token.secret.has_leaked.allows(!told.active, asked, answered);
            assert!(is_true, "the token is told to be active: {}", told.active);
            if !told.active {
                count(&self.seen.inactive);
                continue;
            }
            let writes = told.scopes.iter().any(|scope| scope == "write");
            let is_true = if token.has_write {
                self.may_write.allows(writes, asked, answered)
            } else {
                !writes
            };
            assert!(is_true, "the token is told to have the scope: {writes}");
            count(if token.has_write && !writes { &self.seen.narrowed } else { &self.seen.active });
        }
    }

    /// Replaces the oldest secret, and takes the scope away and gives it again meanwhile.
    async fn rotate(&self) {
        let registry = &self.nodes[0].registry;
        let old = Arc::clone(&self.secrets.lock().unwrap()[0]);
        let client = &old.credentials.client;
        let (client_id, id) = (&client.client_id, old.credentials.secret.id());
        let (_, text) = registry.add_secret(client_id, NewSecret::default()).await.unwrap();
        everything::note_secrets_in(text.expose());
        let new = secret(Credentials { client: client.clone(), secret: text });
        self.secrets.lock().unwrap().push(new);
        tokio::time::sleep(PAUSE).await;

        self.may_write.becomes(false, self.give(registry, &["read"])).await;
        tokio::time::sleep(PAUSE).await;
        let retired = registry.retire_unless_last(client_id, id, Retirement::Retired);
        old.is_live.becomes(false, retired).await.unwrap();
        tokio::time::sleep(PAUSE).await;
        old.is_live.becomes(true, registry.restore_secret(client_id, id)).await.unwrap();
        tokio::time::sleep(PAUSE).await;
        self.may_write.becomes(true, self.give(registry, &["read", "write"])).await;
        tokio::time::sleep(PAUSE).await;
        let burned = registry.retire_secret(client_id, id, Retirement::Leaked);
        let burned = old.has_leaked.becomes(true, burned);
        old.is_live.becomes(false, burned).await.unwrap();
        tokio::time::sleep(PAUSE).await;
        self.secrets.lock().unwrap().remove(0);
    }

    async fn give(&self, registry: &Registry, scopes: &[&str]) {
        let scopes = Scope::parse_set(scopes).unwrap();
        let update = ClientUpdate {
            scopes: Some(scopes.clone()),
            default_scopes: Some(scopes),
            ..ClientUpdate::default()
        };
        let client_id = self.secrets.lock().unwrap()[0].credentials.client.client_id.clone();
        registry.update_client(&client_id, &update, None).await.unwrap();
    }
}

fn secret(credentials: Credentials) -> Arc<Secret> {
    let (is_live, has_leaked) = (Truth::new(true), Truth::new(false));
    Arc::new(Secret { credentials, is_live, has_leaked })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rotation_with_burns_and_narrowing_on_two_nodes_has_no_wrong_answer() {
    let town = Arc::new(Town::new().await);
    let mut callers = JoinSet::new();
    for node in 0..2 {
        for _ in 0..2 {
            callers.spawn(Arc::clone(&town).issue(node));
            callers.spawn(Arc::clone(&town).introspect(node));
        }
    }
    let (began, mut rounds) = (Instant::now(), 0);
    while began.elapsed() < LASTS {
        town.rotate().await;
        rounds += 1;
        // A caller ends early only with a wrong answer.
        if let Some(ended) = callers.try_join_next() {
            ended.unwrap();
        }
    }
    town.is_over.store(true, Ordering::Relaxed);
    while let Some(ended) = callers.join_next().await {
        ended.unwrap();
    }
    println!("{rounds} rotations: {:?}", town.seen);
    let Seen { issued, refused, without_scope, active, narrowed, inactive } = &town.seen;
    for told in [issued, refused, without_scope, active, narrowed, inactive] {
        assert!(told.load(Ordering::Relaxed) >= 4, "too few: {:?}", town.seen);
    }
}
