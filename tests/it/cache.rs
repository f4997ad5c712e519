//! What nodes remember is as true as what stands in the database.

use std::{sync::Arc, time::Duration};

use jeton::{
    domain::{ClientState, OsRandom, SystemClock},
    registry::{NewSecret, Registry},
    store::{PostgresOptions, PostgresStore, Retirement},
};
use sqlx::{Connection, PgConnection};
use tokio::{task::JoinSet, time::Instant};
use tonic::Code;

use crate::support::{
    Database, Kind, TestNode, TestNodeOptions,
    http::get,
    node::{CACHE, CHEAP, Credentials, operator},
    proxy::Proxy,
};

const PATIENT: PostgresOptions = PostgresOptions::waiting(Duration::from_secs(2));

/// Two nodes, and whoever administers beside them, each with a store of its own.
struct Town {
    nodes: [TestNode; 2],
    registry: Registry,
}

impl Town {
    async fn new(kind: Kind) -> Self {
        let first = TestNode::start(kind).await;
        let second = TestNode::beside(&first, TestNodeOptions::default()).await;
        Self::of([first, second]).await
    }

    /// On Postgres, of nodes that look for changes and do not listen.
    async fn deaf() -> Self {
        let database = Database::new(Kind::Postgres).await;
        let node = async || {
            let options = PostgresOptions { without_listening: true, ..PATIENT };
            let store = Arc::new(PostgresStore::at(&database.url, 4, options).unwrap());
            TestNode::with_store(database.shared(), store, TestNodeOptions::default()).await
        };
        Self::of([node().await, node().await]).await
    }

    async fn of(nodes: [TestNode; 2]) -> Self {
        let (store, clock) = (nodes[0].database.store(), Arc::new(SystemClock));
        let random = Arc::new(OsRandom);
        let registry = Registry::open(store, clock, random, CHEAP, operator()).await.unwrap();
        Self { nodes, registry }
    }

    /// A token that both nodes have seen alive, often enough to remember it.
    async fn known_token(&self, client: &Credentials) -> String {
        let token = self.nodes[0].issue(client).await.unwrap().access_token;
        for node in &self.nodes {
            until_remembered(node).await;
            for _ in 0..2 {
                assert!(node.introspect(client, &token).await.unwrap().active);
            }
        }
        token
    }

    async fn is_active(&self, client: &Credentials, token: &str) -> [bool; 2] {
        let [first, second] = &self.nodes;
        let first = first.introspect(client, token).await.unwrap().active;
        [first, second.introspect(client, token).await.unwrap().active]
    }
}

/// A number from the page of metrics.
async fn metric(node: &TestNode, name: &str) -> u64 {
    let page = get(node.node.probe_addr(), "/metrics").await;
    let text = String::from_utf8(page.body.to_vec()).unwrap();
    let line = text.lines().find(|line| line.starts_with(&format!("{name} "))).unwrap();
    let value: f64 = line.rsplit(' ').next().unwrap().parse().unwrap();
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a small count")]
    let value = value as u64;
    value
}

async fn until_remembered(node: &TestNode) {
    while metric(node, "jeton_lease_held").await == 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_acknowledged_is_true_on_every_node() {
    for kind in Kind::BOTH {
        let town = Town::new(kind).await;
        let client = town.nodes[0].client("orders").await;
        for round in 0..5 {
            let token = town.known_token(&client).await;
            town.nodes[round % 2].revoke(&client, &token).await.unwrap();
            assert_eq!(town.is_active(&client, &token).await, [false; 2], "{kind:?}");
        }

        let server = town.nodes[0].resource_server("api").await;
        let token = town.known_token(&client).await;
        let id = &client.client.client_id;
        for (state, expected) in [(ClientState::Disabled, false), (ClientState::Active, true)] {
            town.registry.set_client_state(id, state).await.unwrap();
            assert_eq!(town.is_active(&server, &token).await, [expected; 2], "{kind:?}");
            for node in &town.nodes {
                assert_eq!(node.issue(&client).await.is_ok(), expected);
            }
        }

        // The secret is known to both nodes as verified; the tokens live on until it is burnt.
        let (second, secret) = town.registry.add_secret(id, NewSecret::default()).await.unwrap();
        let rotated = Credentials { client: client.client.clone(), secret };
        let token = town.known_token(&rotated).await;
        for (retirement, alive) in [(Retirement::Retired, true), (Retirement::Leaked, false)] {
            town.registry.retire_secret(id, second.id, retirement).await.unwrap();
            for node in &town.nodes {
                let refused = node.issue(&rotated).await.unwrap_err();
                assert_eq!(refused.code(), Code::Unauthenticated, "{kind:?}");
            }
            assert_eq!(town.is_active(&server, &token).await, [alive; 2], "{kind:?}");
        }

        let token = town.known_token(&client).await;
        town.registry.delete_client(id).await.unwrap();
        assert_eq!(town.is_active(&server, &token).await, [false; 2], "{kind:?}");
        assert!(town.nodes[1].issue(&client).await.is_err());
    }
}

/// Nobody waits for the nodes there, so the answer follows within moments.
#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_is_edited_by_hand_is_true_on_running_nodes() {
    for kind in Kind::BOTH {
        let town = Town::new(kind).await;
        let client = town.nodes[0].client("orders").await;
        let server = town.nodes[0].resource_server("api").await;
        let token = town.known_token(&client).await;
        let now = if kind == Kind::Postgres { "now()" } else { "unixepoch() * 1000000" };
        let later = format!(
            "{now} + {}",
            if kind == Kind::Postgres { "interval '1 hour'" } else { "3600000000" }
        );
        for (edit, active) in [
            ("update client set state = 'disabled' where client_id = 'orders'".to_owned(), false),
            ("update client set state = 'active' where client_id = 'orders'".to_owned(), true),
            (format!("update client set not_before = {later} where client_id = 'orders'"), false),
            ("update client set not_before = null".to_owned(), true),
            (format!("update installation set not_before = {later}"), false),
            ("update installation set not_before = null".to_owned(), true),
            (
                format!("insert into revoked_token select id, {now}, {later} from access_token"),
                false,
            ),
            ("delete from revoked_token".to_owned(), true),
            (
                format!(
                    "update client_secret set burnt_at = {now}, retired_at = {now} \
                      where client = (select id from client where client_id = 'orders')"
                ),
                false,
            ),
            ("update client_secret set burnt_at = null, retired_at = null".to_owned(), true),
            ("delete from access_token".to_owned(), false),
        ] {
            town.nodes[0].database.execute(&edit).await;
            assert_eq!(town.is_active(&server, &token).await, [active; 2], "{kind:?}: {edit}");
        }
    }
}

/// How many connections to the database of this town last said LISTEN.
async fn listening(town: &Town) -> i64 {
    let mut admin = PgConnection::connect(&town.nodes[0].database.url).await.unwrap();
    let listening = "select count(*) from pg_stat_activity
                     where datname = current_database() and query ilike 'listen%'";
    sqlx::query_scalar(listening).fetch_one(&mut admin).await.unwrap()
}

/// As behind a pooler that pools by transaction, where listening would be somebody else's.
#[tokio::test(flavor = "multi_thread")]
async fn nodes_that_do_not_listen_hear_of_changes_all_the_same() {
    let town = Town::deaf().await;
    let client = town.nodes[0].client("orders").await;
    for round in 0..5 {
        let token = town.known_token(&client).await;
        town.nodes[round % 2].revoke(&client, &token).await.unwrap();
        assert_eq!(town.is_active(&client, &token).await, [false; 2]);
    }
    let token = town.known_token(&client).await;
    for (state, active) in [("disabled", false), ("active", true)] {
        let edit = format!("update client set state = '{state}' where client_id = 'orders'");
        town.nodes[0].database.execute(&edit).await;
        let server = town.nodes[1].resource_server(&format!("server-{state}")).await;
        assert_eq!(town.is_active(&server, &token).await, [active; 2], "{state}");
    }
    assert_eq!(listening(&town).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_does_not_hear_of_changes_stops_relying_on_its_memory() {
    let database = Database::new(Kind::Postgres).await;
    let proxy = Proxy::before(&database.url).await;
    let store =
        PostgresStore::at(&proxy.url, 4, PostgresOptions::waiting(Duration::from_millis(300)))
            .unwrap();
    let node = TestNode::with_store(database, Arc::new(store), TestNodeOptions::default()).await;
    let client = node.client("orders").await;
    let token = node.issue(&client).await.unwrap().access_token;
    until_remembered(&node).await;
    for _ in 0..2 {
        assert!(node.introspect(&client, &token).await.unwrap().active);
    }

    // The database is away: what is remembered counts for the rest of the lease, and then the
    // answer is that there is none.
    let away = Instant::now();
    proxy.refuse(true);
    let refused = loop {
        match node.introspect(&client, &token).await {
            Ok(found) => assert!(found.active),
            Err(refused) => break refused,
        }
        assert!(away.elapsed() < CACHE.lease * 4, "it goes on without a lease");
    };
    assert_eq!(refused.code(), Code::Unavailable);

    proxy.refuse(false);
    until_remembered(&node).await;
    assert!(node.introspect(&client, &token).await.unwrap().active);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_who_ask_for_the_same_token_cost_one_statement() {
    for kind in Kind::BOTH {
        let node = Arc::new(TestNode::start(kind).await);
        let client = Arc::new(node.client("orders").await);
        until_remembered(&node).await;
        for _ in 0..2 {
            let token = node.issue(&client).await.unwrap().access_token;
            let before = metric(&node, "jeton_lookup_batches_total").await;
            let mut asked = JoinSet::new();
            for _ in 0..1_000 {
                let (node, client) = (Arc::clone(&node), Arc::clone(&client));
                let token = token.clone();
                asked.spawn(async move { node.introspect(&client, &token).await.unwrap().active });
            }
            assert!(asked.join_all().await.into_iter().all(|active| active));
            let after = metric(&node, "jeton_lookup_batches_total").await;
            // What a node on SQLite remembers counts for moments only; where the test itself is late,
            // callers ask the database, and then they share statements.
            let most = if kind == Kind::Sqlite { 50 } else { 1 };
            assert!((1..=most).contains(&(after - before)), "{kind:?}: {}", after - before);
        }
    }
}

/// A lease that its node does not give back is waited for, and not for longer.
#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_died_holds_a_revocation_up_for_its_lease_and_one_that_stopped_does_not() {
    let town = Town::new(Kind::Postgres).await;
    let client = town.nodes[0].client("orders").await;
    let dead = "insert into node (id, applied, lease_until)
                values (gen_random_uuid(), 0, clock_timestamp() + interval '1 second')";
    let token = town.known_token(&client).await;
    let [first, second] = town.nodes;
    let url = &first.database.url;
    let mut admin = PgConnection::connect(url).await.unwrap();
    let nodes = "select count(*) from node";
    let before: i64 = sqlx::query_scalar(nodes).fetch_one(&mut admin).await.unwrap();
    assert!(second.node.drain().await);
    let after: i64 = sqlx::query_scalar(nodes).fetch_one(&mut admin).await.unwrap();
    assert_eq!(after, before - 1, "the node that stopped has left");

    sqlx::query(dead).execute(&mut admin).await.unwrap();
    let began = Instant::now();
    first.revoke(&client, &token).await.unwrap();
    let took = began.elapsed();
    assert!(took > Duration::from_millis(900), "nobody waited for the dead node: {took:?}");
    assert!(!first.introspect(&client, &token).await.unwrap().active);

    // A token that is gone may have gone this moment: others may still remember it.
    let token = first.issue(&client).await.unwrap().access_token;
    first.database.execute("delete from access_token").await;
    sqlx::query(dead).execute(&mut admin).await.unwrap();
    let began = Instant::now();
    first.revoke(&client, &token).await.unwrap();
    assert!(began.elapsed() > Duration::from_millis(900), "nobody waited for the dead node");
}
