//! The drill: a node is lost under load, and its database comes back from a backup.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use jeton::{
    domain::{OsRandom, SystemClock},
    pb::v1::{
        ClientAuthentication, ClientCredentialsGrant, IntrospectTokenRequest, IssueTokenRequest,
        RevokeTokenRequest, issue_token_request::Grant, token_service_client::TokenServiceClient,
    },
    registry::{NewSecret, Registry},
};
use serde_json::Value;
use tokio::task::JoinSet;
use tonic::transport::Channel;

use super::{back_up, clients};
use crate::support::{
    Database, Kind,
    binary::{Served, jeton, run, run_json},
    everything,
    node::{CHEAP, new_client, operator},
};

/// Clients that are there before the backup.
const CLIENTS: usize = 60;

/// A caller of a node.
#[derive(Clone)]
struct Caller {
    node: TokenServiceClient<Channel>,
    authentication: ClientAuthentication,
}

impl Caller {
    async fn of(served: &Served, authentication: &ClientAuthentication) -> Self {
        let url = format!("http://{}", served.grpc);
        let node = TokenServiceClient::connect(url).await.unwrap();
        Self { node, authentication: authentication.clone() }
    }

    async fn issue(&self) -> Option<String> {
        let asked = IssueTokenRequest {
            grant: Some(Grant::ClientCredentials(ClientCredentialsGrant {})),
            client_authentication: Some(self.authentication.clone()),
            ..Default::default()
        };
        let issued = self.node.clone().issue_token(asked).await.ok()?.into_inner();
        everything::note_secrets_in(&issued.access_token);
        Some(issued.access_token)
    }

    async fn is_active(&self, token: &str) -> bool {
        let asked = IntrospectTokenRequest {
            token: token.to_owned(),
            token_type_hint: String::new(),
            client_authentication: Some(self.authentication.clone()),
        };
        self.node.clone().introspect_token(asked).await.unwrap().into_inner().active
    }

    async fn revoke(&self, token: &str) {
        let asked = RevokeTokenRequest {
            token: token.to_owned(),
            token_type_hint: String::new(),
            client_authentication: Some(self.authentication.clone()),
        };
        self.node.clone().revoke_token(asked).await.unwrap();
    }
}

/// Registers so many clients, whose hashes cost little.
async fn register(database: &Database, names: &[String]) -> Vec<ClientAuthentication> {
    let (clock, random) = (Arc::new(SystemClock), Arc::new(OsRandom));
    let store = database.store();
    let registry = Registry::open(store, clock, random, CHEAP, operator()).await.unwrap();
    let mut made = Vec::new();
    for name in names {
        let created = registry.create_client(new_client(name), NewSecret::default()).await;
        let (client, secret) = created.unwrap();
        everything::note_secrets_in(secret.expose());
        made.push(ClientAuthentication {
            client_id: client.client_id.to_string(),
            client_secret: secret.expose().to_owned(),
        });
    }
    made
}

/// Issues as much as it can, until it is told to stop. What was issued is kept.
struct Load {
    calling: JoinSet<()>,
    issued: Arc<Mutex<Vec<String>>>,
}

impl Load {
    fn of(caller: &Caller) -> Self {
        let issued = Arc::<Mutex<Vec<String>>>::default();
        let mut calling = JoinSet::new();
        for _ in 0..8 {
            let (caller, issued) = (caller.clone(), Arc::clone(&issued));
            calling.spawn(async move {
                while let Some(token) = caller.issue().await {
                    issued.lock().unwrap().push(token);
                }
            });
        }
        Self { calling, issued }
    }

    fn count(&self) -> usize {
        self.issued.lock().unwrap().len()
    }

    async fn until(&self, count: usize) {
        while self.count() < count {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// The callers end with the node that they call.
    async fn end(mut self) -> Vec<String> {
        while self.calling.join_next().await.is_some() {}
        self.issued.lock().unwrap().clone()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_was_lost_under_load_comes_back_from_a_backup() {
    for kind in Kind::BOTH {
        let lost = Database::new(kind).await;
        let mut node = Served::start(&lost, &[]);
        let names: Vec<_> = (0..CLIENTS).map(|number| format!("client-{number}")).collect();
        let made = register(&lost, &names).await;
        let caller = Caller::of(&node, &made[0]).await;
        let load = Load::of(&caller);
        load.until(50).await;
        let living = caller.issue().await.unwrap();
        let revoked = caller.issue().await.unwrap();
        assert!(caller.is_active(&living).await);

        let folder = tempfile::tempdir().unwrap();
        let (file, saved) = back_up(&lost, folder.path());
        let there = clients(&lost);
        let issued = load.count();

        // What happens afterwards is not in the backup.
        caller.revoke(&revoked).await;
        register(&lost, &["late".to_owned()]).await;
        assert!(run(&["client", "disable", "--yes", "client-1"], &lost).status.success());
        load.until(issued + 50).await;
        node.child.kill().unwrap();
        node.child.wait().unwrap();
        let issued = load.end().await;

        let found = Database::new(kind).await;
        let restored = run_json(&["restore", file.to_str().unwrap(), "--actor", "alice"], &found);
        assert_counted_alike(&saved, &restored);
        assert_eq!(saved["clients"], CLIENTS);
        assert!(restored["lost_seconds"].as_u64().is_some(), "{restored}");
        let checks = restored["check"].to_string();
        for part in
            ["disabled or deleted", "or declared leaked", "create them again", "audit trail"]
        {
            assert!(checks.contains(part), "{part} in {checks}");
        }

        let node = Served::start(&found, &[]);
        assert_eq!(clients(&found), there, "{kind:?}: every client of the backup, as it was");
        let caller = Caller::of(&node, &made[0]).await;
        for token in issued.iter().chain([&living, &revoked]) {
            assert!(!caller.is_active(token).await, "{kind:?}: a token of before");
        }
        for authentication in &made {
            let caller = Caller::of(&node, authentication).await;
            let token = caller.issue().await.unwrap();
            assert!(caller.is_active(&token).await, "{kind:?}: a new token");
            caller.revoke(&token).await;
            assert!(!caller.is_active(&token).await);
        }
        assert_trail(&found, saved["mark"].as_str().unwrap());
    }
}

/// What was saved is what came back.
fn assert_counted_alike(saved: &Value, restored: &Value) {
    for member in
        ["schema", "clients", "secrets", "tokens", "revocations", "audit_rows", "newest", "mark"]
    {
        assert_eq!(saved[member], restored[member], "{member}");
    }
    assert!(saved["tokens"].as_u64().unwrap() >= 50, "{saved}");
}

/// The trail is whole, goes on from that of the backup, and says who restored it, once.
fn assert_trail(database: &Database, mark: &str) {
    run_json(&["audit", "verify", "--mark", mark], database);
    let trail = run_json(&["audit", "list", "--last", "100000"], database);
    let of = |action: &str| {
        let rows = trail.as_array().unwrap().iter().filter(|row| row["action"] == action);
        rows.cloned().collect::<Vec<_>>()
    };
    let restored = of("installation.restore");
    assert_eq!(restored.len(), 1);
    assert_eq!(restored[0]["actor"], "operator:alice");
    assert!(restored[0]["detail"]["not_before"].is_string());
    // The column that changed has a row of its own, from the same hand.
    let updated = of("installation.update");
    assert_eq!(updated.len(), 1);
    assert_eq!(updated[0]["actor"], "operator:alice");
    assert_eq!(updated[0]["seq"].as_i64().unwrap(), restored[0]["seq"].as_i64().unwrap() + 1);
}

/// Whoever restores by other means has the same done, also beside a node that is there already.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_was_restored_by_other_means_is_finished() {
    for kind in Kind::BOTH {
        let database = Database::new(kind).await;
        let node = Served::start(&database, &[]);
        let made = register(&database, &["orders".to_owned()]).await;
        let caller = Caller::of(&node, &made[0]).await;
        let token = caller.issue().await.unwrap();
        // The node remembers it, and would answer without a look.
        for _ in 0..3 {
            assert!(caller.is_active(&token).await);
        }
        let before = feed(&database).await;
        let finished = run_json(&["restore", "--finish", "--actor", "alice"], &database);
        assert!(!caller.is_active(&token).await, "{kind:?}");
        let mark = finished["mark"].as_str().unwrap();
        assert_trail(&database, mark);
        let after = feed(&database).await;
        assert!(after > before + 1_000_000, "{kind:?}: {before}, {after}");

        let token = caller.issue().await.unwrap();
        assert!(caller.is_active(&token).await, "{kind:?}");
        caller.revoke(&token).await;
        assert!(!caller.is_active(&token).await, "{kind:?}: the node follows the new feed");
    }
}

/// The newest place in the feed.
async fn feed(database: &Database) -> i64 {
    database.number("select coalesce(max(id), 0) from change").await
}

/// A file that was copied beside a running node, without what SQLite keeps beside it.
#[tokio::test(flavor = "multi_thread")]
async fn a_copy_that_lost_everything_is_told_when_a_node_starts_on_it() {
    let database = Database::new(Kind::Sqlite).await;
    let _node = Served::start(&database, &[]);
    let copy = Database::new(Kind::Sqlite).await;
    let file = |database: &Database| database.dir.path().join("jeton.db");
    std::fs::copy(file(&database), file(&copy)).unwrap();
    let node = Served::start(&copy, &[]);
    assert!(node.said.contains("made without its write-ahead log"), "{}", node.said);
    let fresh = Database::new(Kind::Sqlite).await;
    let node = Served::start(&fresh, &[]);
    assert!(!node.said.contains("write-ahead log"), "{}", node.said);
    // And a copy that a backup made is none.
    let folder = tempfile::tempdir().unwrap();
    let (backup, _) = back_up(&database, folder.path());
    let data_dir = folder.path().join("restored").display().to_string();
    let restored = jeton()
        .args(["restore", backup.to_str().unwrap(), "--data-dir", &data_dir])
        .output()
        .unwrap();
    assert!(restored.status.success());
}
