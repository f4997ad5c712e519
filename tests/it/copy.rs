//! `jeton copy`: an installation moves from the embedded database to Postgres, and nobody who calls
//! it notices.

mod refusals;

use std::sync::Arc;

use jeton::{
    domain::{ClientSecret, Clock, SystemClock},
    pb::v1::IntrospectTokenResponse,
};
use serde_json::Value;

use crate::support::{
    Database, Kind, TestNode, TestNodeOptions,
    binary::{run, run_json},
    everything,
    node::Credentials,
};

/// An empty database on Postgres for a copy of an embedded one. The flags of commands name both.
async fn destination(source: &Database) -> Database {
    let mut database = Database::new(Kind::Postgres).await;
    database.dir = Arc::clone(&source.dir);
    database
}

/// Ends a node in order.
async fn stop(node: TestNode) {
    node.node.drain().await;
    node.store.close().await;
}

/// One more secret of a client.
fn add_secret(of: &Credentials, database: &Database) -> (String, Credentials) {
    let added = run_json(&["client", "add-secret", of.id()], database);
    let text = |member: &str| added[member].as_str().unwrap().to_owned();
    everything::note_secrets_in(&text("client_secret"));
    let secret = ClientSecret::parse(&text("client_secret")).unwrap();
    (text("secret_id"), Credentials { client: of.client.clone(), secret })
}

fn succeed(arguments: &[&str], database: &Database) {
    let output = run(arguments, database);
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// What administrators see of clients, secrets and their uses.
fn registry(database: &Database) -> Vec<Value> {
    let clients = run_json(&["client", "list"], database);
    let names = clients.as_array().unwrap().iter().map(|client| client["client_id"].clone());
    let shown = names.map(|name| run_json(&["client", "show", name.as_str().unwrap()], database));
    let shown: Vec<_> = shown.collect();
    [vec![clients], shown].concat()
}

/// The audit trail without its hashes.
fn trail(database: &Database) -> Vec<Value> {
    let mut rows = run_json(&["audit", "list", "--last", "10000"], database);
    let rows = rows.as_array_mut().unwrap();
    for row in &mut *rows {
        row["hash"].take();
    }
    rows.clone()
}

struct Tokens {
    server: Credentials,
    live: Vec<String>,
    dead: Vec<String>,
}

impl Tokens {
    /// What the resource server is told of each.
    async fn seen(&self, node: &TestNode) -> Vec<IntrospectTokenResponse> {
        let mut seen = Vec::new();
        for (tokens, is_live) in [(&self.live, true), (&self.dead, false)] {
            for token in tokens {
                let answer = node.introspect(&self.server, token).await.unwrap();
                assert_eq!(answer.active, is_live, "{answer:?}");
                // It names the node that answers, which is another one afterwards.
                seen.push(IntrospectTokenResponse { issuer: String::new(), ..answer });
            }
        }
        seen
    }
}

/// The callers of an installation, after everything that can happen to a secret and a token.
struct Callers {
    orders: Credentials,
    of_retiring: Credentials,
    refused: [Credentials; 3],
    tokens: Tokens,
}

async fn history(node: &TestNode, database: &Database) -> Callers {
    let orders = node.client("orders").await;
    let disabled = node.client("billing").await;
    let server = node.resource_server("stock").await;
    let (retired, of_retired) = add_secret(&orders, database);
    let (retiring, of_retiring) = add_secret(&orders, database);
    let (leaked, of_leaked) = add_secret(&orders, database);
    let mut tokens = Tokens { server, live: Vec::new(), dead: Vec::new() };
    for caller in [&orders, &of_retired, &of_retiring] {
        tokens.live.push(node.issue(caller).await.unwrap().access_token);
    }
    for caller in [&of_leaked, &disabled, &orders] {
        tokens.dead.push(node.issue(caller).await.unwrap().access_token);
    }
    node.revoke(&orders, &tokens.dead[2]).await.unwrap();
    let retire = ["client", "retire-secret", "orders", "--even-if-in-use"];
    succeed(&[&retire[..], &[retired.as_str()]].concat(), database);
    succeed(&[&retire[..], &[retiring.as_str(), "--after", "24h"]].concat(), database);
    succeed(&["client", "retire-secret", "orders", &leaked, "--leaked"], database);
    succeed(&["client", "revoke-tokens", "billing"], database);
    let update = ["client", "update", "orders", "--label", "team=a", "--owner", "größe"];
    succeed(&[&update[..], &["--note", "on call: Ada"]].concat(), database);
    succeed(&["client", "set-quota", "orders", "--live-tokens", "700"], database);
    succeed(&["client", "disable", "--yes", "billing"], database);
    succeed(&["tag-key", "rotate"], database);
    tokens.live.push(node.issue(&orders).await.unwrap().access_token);
    let folder = tempfile::tempdir().unwrap();
    let secret = folder.path().join("ops").display().to_string();
    succeed(&["bootstrap", "--client-id", "ops", "--out", &secret], database);
    everything::note_secrets_in(&std::fs::read_to_string(secret).unwrap());
    // By hand, so its row of the trail has no hash yet.
    database.execute("update client set name = 'by hand' where client_id = 'orders'").await;
    Callers { orders, of_retiring, refused: [of_retired, of_leaked, disabled], tokens }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_installation_moves_to_postgres_with_everything_that_it_has_issued() {
    let node = TestNode::start(Kind::Sqlite).await;
    let database = node.database.shared();
    let callers = history(&node, &database).await;
    let seen = callers.tokens.seen(&node).await;
    stop(node).await;
    let (before, rows) = (registry(&database), trail(&database));

    let to = destination(&database).await;
    let copied = run_json(&["copy", "--actor", "alice"], &to);
    assert_eq!((&copied["clients"], &copied["secrets"]), (&4.into(), &7.into()), "{copied}");
    assert_eq!((&copied["tokens"], &copied["expired_tokens"]), (&7.into(), &0.into()));
    assert_eq!(copied["revocations"], 1);
    assert_eq!(registry(&to), before);
    assert_trail(&to, &rows, &copied);

    let node = TestNode::on(to.shared(), TestNodeOptions::default()).await;
    let Callers { orders, of_retiring, refused, tokens } = callers;
    assert_eq!(tokens.seen(&node).await, seen, "every token is what it was");
    for caller in [&orders, &of_retiring] {
        let token = node.issue(caller).await.unwrap().access_token;
        assert!(node.introspect(&tokens.server, &token).await.unwrap().active);
    }
    for caller in &refused {
        node.issue(caller).await.unwrap_err();
    }
    succeed(&["client", "disable", "--yes", "orders"], &to);
    assert!(!node.introspect(&tokens.server, &tokens.live[0]).await.unwrap().active);
    assert_guarded(&node, &to).await;
}

/// Triggers fire again: what is changed from now on is in the trail.
async fn assert_guarded(node: &TestNode, database: &Database) {
    node.client("fresh").await;
    let created = trail(database).into_iter().filter(|row| row["client_id"] == "fresh");
    assert_eq!(created.count(), 2, "the client and its secret");
    let quiet = "select count(*) from pg_trigger where not tgisinternal and tgenabled <> 'A'
                 and tgrelid in ('client'::regclass, 'client_secret'::regclass)";
    assert_eq!(database.number(quiet).await, 0);
}

/// The trail is whole, begins with the rows that were there, and says who copied them, once.
fn assert_trail(database: &Database, before: &[Value], copied: &Value) {
    run_json(&["audit", "verify", "--mark", copied["mark"].as_str().unwrap()], database);
    let after = trail(database);
    let (same, new) = after.split_at(before.len());
    assert_eq!(same, before);
    let actions: Vec<_> = new.iter().map(|row| row["action"].as_str().unwrap()).collect();
    assert_eq!(actions, ["installation.update", "installation.copy"]);
    assert!(new.iter().all(|row| row["actor"] == "operator:alice"), "{new:?}");
    assert_eq!(new[0]["detail"]["tag_key"], "changed");
    assert_eq!(new[1]["detail"]["mark"], copied["from_mark"]);
    assert_eq!(copied["audit_rows"], after.len());
}

/// The start of a trail may have been cut off, and the row that says so still proves the rest.
#[tokio::test(flavor = "multi_thread")]
async fn a_trail_whose_start_was_cut_off_verifies_after_the_copy() {
    let database = Database::ready(Kind::Sqlite).await;
    for name in ["a", "b", "c"] {
        run_json(&["client", "create", "--client-id", name], &database);
    }
    let store = database.migrated().await;
    let age = "update audit set at = at - iif(seq <= 3, 100 * 86400000000, 0), hash = x''";
    database.execute("drop trigger audit_is_append_only").await;
    database.execute(age).await;
    assert_eq!(store.upkeep(SystemClock.now(), 90).await.unwrap().audit_forgotten, 3);
    store.close().await;
    let to = destination(&database).await;
    run_json(&["copy"], &to);
    let verified = run_json(&["audit", "verify"], &to);
    assert!(verified["first"].as_i64().unwrap() > 1, "{verified}");
}

/// A node on the destination that was stopped before anything was done there is no obstacle.
#[tokio::test(flavor = "multi_thread")]
async fn a_database_on_which_a_node_was_tried_is_still_empty() {
    let database = Database::ready(Kind::Sqlite).await;
    run_json(&["client", "create", "--client-id", "orders"], &database);
    let to = destination(&database).await;
    stop(TestNode::on(to.shared(), TestNodeOptions::default()).await).await;
    run_json(&["copy"], &to);
    let gaps = to.number("select count(*) from evidence_gap where since = '-infinity'").await;
    assert_eq!(gaps, 1, "nothing counted in the embedded database");
}
