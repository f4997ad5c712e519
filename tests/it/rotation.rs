//! The tag key is rotated and all tokens are revoked while two nodes serve.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    time::Duration,
};

use jeton::{
    domain::{AuditHash, Clock, ManualClock, OsRandom, SystemClock, TagKey, TokenText},
    registry::{NewSecret, Registry},
    store::{Adoption, PostgresOptions, PostgresStore},
};
use serde_json::Value;
use sqlx::{Connection, PgConnection};
use tokio::task::JoinSet;
use tonic::Code;

use crate::support::{
    Database, Kind, TestNode, TestNodeOptions,
    binary::{complaint, run, run_json},
    node::{CHEAP, Credentials, NO_CACHE, new_client, operator},
    proxy::Proxy,
};

/// Two nodes on one database.
async fn two(kind: Kind, options: TestNodeOptions) -> Arc<[TestNode; 2]> {
    let first = TestNode::start_with(kind, options.clone()).await;
    let second = TestNode::beside(&first, options).await;
    Arc::new([first, second])
}

/// Callers that get tokens from one node and show them to the other, until they are stopped. None
/// of their calls may fail.
struct Load {
    stop: Arc<AtomicBool>,
    answered: Arc<AtomicU32>,
    callers: JoinSet<()>,
}

impl Load {
    fn begin(nodes: &Arc<[TestNode; 2]>, client: &Arc<Credentials>) -> Self {
        let (stop, answered) = (Arc::<AtomicBool>::default(), Arc::<AtomicU32>::default());
        let mut callers = JoinSet::new();
        for number in 0..8 {
            let (nodes, client) = (Arc::clone(nodes), Arc::clone(client));
            let (stop, answered) = (Arc::clone(&stop), Arc::clone(&answered));
            callers.spawn(async move {
                while !stop.load(Ordering::Relaxed) {
                    let token = nodes[number % 2].issue(&client).await.unwrap().access_token;
                    let other = &nodes[(number + 1) % 2];
                    assert!(other.introspect(&client, &token).await.unwrap().active);
                    answered.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        Self { stop, answered, callers }
    }

    /// Waits until so many calls were answered after this moment.
    async fn go_on(&self) {
        let enough = self.answered.load(Ordering::Relaxed) + 40;
        while self.answered.load(Ordering::Relaxed) < enough && self.callers.len() == 8 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    async fn end(mut self) {
        self.go_on().await;
        self.stop.store(true, Ordering::Relaxed);
        while let Some(ended) = self.callers.join_next().await {
            ended.unwrap();
        }
    }
}

async fn is_active(nodes: &[TestNode; 2], caller: &Credentials, token: &str) -> [bool; 2] {
    let [first, second] = nodes;
    let first = first.introspect(caller, token).await.unwrap().active;
    [first, second.introspect(caller, token).await.unwrap().active]
}

/// A node without a cache follows the feed as well.
#[tokio::test(flavor = "multi_thread")]
async fn a_rotation_under_load_loses_no_request_and_a_retired_key_is_refused_everywhere() {
    for kind in Kind::BOTH {
        for cache in [TestNodeOptions::default().cache, NO_CACHE] {
            let nodes = two(kind, TestNodeOptions { cache, ..TestNodeOptions::default() }).await;
            let registry = &nodes[0].registry;
            let old = Arc::new(nodes[0].client("orders").await);
            let old_token = nodes[0].issue(&old).await.unwrap().access_token;

            let load = Load::begin(&nodes, &old);
            load.go_on().await;
            let rotation = registry.rotate_tag_key().await.unwrap();
            assert_eq!((rotation.has_previous, rotation.earlier_secrets), (true, 1), "{kind:?}");
            load.go_on().await;
            let id = &old.client.client_id;
            let (_, secret) = registry.add_secret(id, NewSecret::default()).await.unwrap();
            let new = Arc::new(Credentials { client: old.client.clone(), secret });
            let more = Load::begin(&nodes, &new);
            assert_eq!(is_active(&nodes, &new, &old_token).await, [true; 2], "{kind:?}");
            load.end().await;

            registry.retire_tag_key().await.unwrap();
            for node in nodes.iter() {
                let refused = node.issue(&old).await.unwrap_err();
                assert_eq!(refused.code(), Code::Unauthenticated, "{kind:?}: {refused}");
            }
            assert_eq!(is_active(&nodes, &new, &old_token).await, [false; 2], "{kind:?}");
            // And once more, from the key that was the new one.
            registry.rotate_tag_key().await.unwrap();
            more.end().await;
            let rotation = registry.tag_key_rotation().await.unwrap();
            assert_eq!(rotation.earlier_secrets, 1, "the first one was retired, {kind:?}");
        }
    }
}

/// Of what both nodes have cached as active, too.
#[tokio::test(flavor = "multi_thread")]
async fn all_tokens_are_inactive_on_both_nodes_when_their_revocation_returns() {
    for kind in Kind::BOTH {
        let nodes = two(kind, TestNodeOptions::default()).await;
        let (orders, stock) = (nodes[0].client("orders").await, nodes[1].client("stock").await);
        for _ in 0..3 {
            let tokens = [
                nodes[0].issue(&orders).await.unwrap().access_token,
                nodes[1].issue(&stock).await.unwrap().access_token,
            ];
            for (caller, token) in [&orders, &stock].into_iter().zip(&tokens) {
                assert_eq!(is_active(&nodes, caller, token).await, [true; 2], "{kind:?}");
            }
            nodes[0].registry.revoke_all_tokens().await.unwrap();
            for (caller, token) in [&orders, &stock].into_iter().zip(&tokens) {
                assert_eq!(is_active(&nodes, caller, token).await, [false; 2], "{kind:?}");
            }
            let token = nodes[1].issue(&orders).await.unwrap().access_token;
            assert_eq!(is_active(&nodes, &orders, &token).await, [true; 2], "{kind:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_that_revokes_everything_asks_first_and_is_audited() {
    for kind in Kind::BOTH {
        let node = TestNode::start(kind).await;
        let caller = node.client("orders").await;
        let token = node.issue(&caller).await.unwrap().access_token;
        let refused = complaint(&run(&["client", "revoke-tokens", "--all"], &node.database));
        assert!(refused.contains("nothing was changed") && refused.contains("--yes"), "{refused}");
        assert!(node.introspect(&caller, &token).await.unwrap().active);
        let all = ["client", "revoke-tokens", "--all", "--yes", "--actor", "alice"];
        let told = run_json(&all, &node.database);
        assert_eq!((&told["client_id"], &told["revoked"]), (&Value::Null, &true.into()));
        assert!(!node.introspect(&caller, &token).await.unwrap().active, "{kind:?}");
        let trail = run_json(&["audit", "list", "--last", "1"], &node.database);
        assert_eq!(trail[0]["action"], "installation.update", "{kind:?}");
        assert_eq!(trail[0]["actor"], "operator:alice");
        assert_eq!(trail[0]["detail"], serde_json::json!({"generation": [0, 1]}), "{kind:?}");

        let token = node.issue(&caller).await.unwrap().access_token;
        run_json(&["client", "revoke-tokens", "orders"], &node.database);
        assert!(!node.introspect(&caller, &token).await.unwrap().active, "{kind:?}");
        let trail = run_json(&["audit", "list", "--last", "1"], &node.database);
        assert_eq!(trail[0]["detail"]["generation"], serde_json::json!([0, 1]), "{kind:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rotation_is_shown_completed_and_retired_by_commands_and_audited_without_keys() {
    for kind in Kind::BOTH {
        let database = Database::ready(kind).await;
        let flag = |value: &Value, name: &str| value[name].as_bool().unwrap();
        run_json(&["client", "create", "--client-id", "orders"], &database);
        let shown = run_json(&["tag-key", "show"], &database);
        assert_eq!(
            (&shown["current_since"], &shown["earlier_live_secrets"]),
            (&Value::Null, &0.into())
        );
        let refused = complaint(&run(&["tag-key", "retire", "--yes"], &database));
        assert!(refused.contains("there is no previous tag key"), "{refused}");

        // As if the command had been killed between its two steps.
        let store = database.store();
        let key = TagKey::generate(&OsRandom).unwrap();
        assert!(store.offer_tag_key(&key, &operator()).await.unwrap());
        assert!(flag(&run_json(&["tag-key", "show"], &database), "interrupted"), "{kind:?}");
        let rotated = run_json(&["tag-key", "rotate"], &database);
        assert_eq!(rotated["earlier_live_secrets"], 1, "{kind:?}");
        assert!(flag(&rotated, "previous_accepted") && !flag(&rotated, "interrupted"));
        let current = store.installation().await.unwrap().tag_keys.current().clone();
        assert_eq!(current.as_bytes(), key.as_bytes(), "the offer that was there is used");
        let nothing = store.adopt_tag_key(SystemClock.now(), &operator()).await.unwrap();
        assert_eq!(nothing, Adoption::NotOffered);
        let refused = complaint(&run(&["tag-key", "rotate"], &database));
        assert!(refused.contains("`jeton tag-key retire`"), "{refused}");

        let refused = run(&["tag-key", "retire"], &database);
        let told = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert!(complaint(&refused).contains("--yes"), "{told}");
        assert!(told.contains("1 live secret that was created before"), "{told}");
        let retired = run_json(&["tag-key", "retire", "--yes", "--actor", "alice"], &database);
        assert!(!flag(&retired, "previous_accepted"), "{kind:?}");
        store.close().await;
        audited(&database, &key);
    }
}

/// The trail has the three steps, and nothing of the keys.
fn audited(database: &Database, key: &TagKey) {
    let trail = run_json(&["audit", "list", "--last", "4"], database);
    let of_key = |row: &&Value| row["action"] == "installation.update";
    let trail: Value = trail.as_array().unwrap().iter().filter(of_key).cloned().collect();
    let changed = ["next_tag_key", "tag_key", "previous_tag_key"];
    for (row, name) in trail.as_array().unwrap().iter().zip(changed) {
        assert_eq!(row["action"], "installation.update", "{trail}");
        assert_eq!(row["detail"][name], "changed", "{trail}");
    }
    assert_eq!(trail[2]["actor"], "operator:alice");
    let hex = AuditHash(*key.as_bytes()).to_string();
    assert!(!trail.to_string().to_lowercase().contains(&hex), "{trail}");
    run_json(&["audit", "verify"], database);
}

/// The machine on which it was made may have a clock that is behind.
#[tokio::test(flavor = "multi_thread")]
async fn a_secret_of_the_current_key_is_never_taken_for_an_earlier_one() {
    for kind in Kind::BOTH {
        let node = TestNode::start(kind).await;
        let caller = node.client("orders").await;
        run_json(&["tag-key", "rotate"], &node.database);
        let behind = ManualClock::at(SystemClock.now().minus(Duration::from_hours(1)));
        let (store, behind, random) = (node.database.store(), Arc::new(behind), Arc::new(OsRandom));
        let registry = Registry::open(store, behind, random, CHEAP, operator()).await.unwrap();
        let added = registry.add_secret(&caller.client.client_id, NewSecret::default()).await;
        let created = registry.create_client(new_client("stock"), NewSecret::default()).await;
        let (new, (stock, secret)) = (added.unwrap().1, created.unwrap());
        let retired = run_json(&["tag-key", "retire", "--yes"], &node.database);
        assert_eq!(retired["retired_secrets"], 1, "{kind:?}");
        let client = caller.client.clone();
        node.issue(&Credentials { client, secret: new }).await.unwrap();
        node.issue(&Credentials { client: stock, secret }).await.unwrap();
        assert_eq!(node.issue(&caller).await.unwrap_err().code(), Code::Unauthenticated);
    }
}

/// It would refuse what is made with the new key.
#[tokio::test(flavor = "multi_thread")]
async fn a_rotation_waits_for_nodes_of_earlier_versions_to_be_replaced() {
    let node = TestNode::start(Kind::Postgres).await;
    let caller = node.client("orders").await;
    let mut earlier = PgConnection::connect(&node.database.url).await.unwrap();
    let join = "select node_id::text from join_feed(4000)";
    let id: String = sqlx::query_scalar(join).fetch_one(&mut earlier).await.unwrap();
    let applied = "update node set applied = 1000000000 where schema_version = 0";
    sqlx::query(applied).execute(&mut earlier).await.unwrap();
    let refused = complaint(&run(&["tag-key", "rotate"], &node.database));
    assert!(refused.contains("1 of the running nodes"), "{refused}");
    // Nothing is lost: what was offered is accepted, and not used yet.
    node.issue(&caller).await.unwrap();

    let leave = "select leave_feed($1::text::uuid)";
    sqlx::query(leave).bind(id).execute(&mut earlier).await.unwrap();
    run_json(&["tag-key", "rotate"], &node.database);
    let refused = sqlx::query(join).execute(&mut earlier).await.unwrap_err().to_string();
    assert!(refused.contains("knows only the first tag key"), "{refused}");
    node.issue(&caller).await.unwrap();
}

/// It cannot know whether the key was rotated meanwhile.
#[tokio::test(flavor = "multi_thread")]
async fn a_node_without_a_lease_calls_no_token_inactive_and_no_secret_wrong() {
    let database = Database::new(Kind::Postgres).await;
    let proxy = Proxy::before(&database.url).await;
    let wait = PostgresOptions::waiting(Duration::from_secs(2));
    let store = Arc::new(PostgresStore::at(&proxy.url, 4, wait).unwrap());
    let node = TestNode::with_store(database, store, TestNodeOptions::default()).await;
    let caller = node.client("orders").await;
    node.issue(&caller).await.unwrap();
    let key = TagKey::generate(&OsRandom).unwrap();
    let token = TokenText::mint(SystemClock.now(), &OsRandom, &key).unwrap();
    assert!(!node.introspect(&caller, token.expose()).await.unwrap().active);
    let secret = jeton::domain::ClientSecret::generate(&OsRandom, &key).unwrap();
    let stranger = Credentials { client: caller.client.clone(), secret };
    assert_eq!(node.issue(&stranger).await.unwrap_err().code(), Code::Unauthenticated);

    proxy.refuse(true);
    proxy.cut();
    let until = SystemClock.now().plus(Duration::from_secs(10));
    while node.issue(&stranger).await.unwrap_err().code() != Code::Unavailable {
        assert!(SystemClock.now() < until, "the lease does not end");
    }
    let unknown = node.introspect(&caller, token.expose()).await.unwrap_err();
    assert_eq!(unknown.code(), Code::Unavailable, "{unknown}");
}
