//! Databases that get their rows from another one: by a dump, or by logical replication.

use jeton::domain::{Clock, SystemClock};
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use tokio::time::{Duration, Instant, sleep};

use super::Scene;
use crate::support::{
    Database, Kind, TestNode, TestNodeOptions,
    postgres::{PrivateServer, is_installed, program},
};

const QUIET: &str = "select count(*) from quiet_triggers()";

/// Runs a program of Postgres on a database; false where there is none for that server.
fn run(name: &str, arguments: &[&str], database: &Database) -> bool {
    let Some(mut command) = program(name) else { return false };
    let done = command.args(["--dbname", &database.url]).args(arguments).output().unwrap();
    let said = String::from_utf8_lossy(&done.stderr);
    let is_older = said.contains("server version mismatch");
    assert!(done.status.success() || is_older, "{name}: {said}");
    !is_older
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_is_dumped_and_restored_has_its_triggers_and_its_trail() {
    let scene = Scene::new(Kind::Postgres).await;
    let known = scene.client("orders").await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("dump");
    let file = file.to_str().unwrap();
    if !run("pg_dump", &["--format=custom", "--file", file], &scene.node.database) {
        return;
    }
    let restored = Database::new(Kind::Postgres).await;
    run("pg_restore", &[file], &restored);
    assert_eq!(restored.number(QUIET).await, 0);

    let node = TestNode::on(restored, TestNodeOptions::default()).await;
    let noted = scene.trail().await;
    let copy = Scene { node, server: scene.server };
    assert_eq!(copy.trail().await, noted, "a restore is no change");
    copy.cache(&known, true).await;
    let replica = "set session_replication_role = replica; ";
    copy.write(replica, "update client set state = 'disabled' where id = {client}", &known).await;
    assert!(!copy.is_active(&known).await);
    assert_eq!(copy.trail().await.split_off(noted.len()), ["client.update"]);

    // A restore of rows alone leaves triggers behind that are passed over in such a session.
    let rows = ["--data-only", "--disable-triggers", "--table=revoked_token", file];
    run("pg_restore", &rows, &copy.node.database);
    assert!(copy.node.database.number(QUIET).await > 0);
    copy.node.store.upkeep(SystemClock.now(), 90).await.unwrap();
    assert_eq!(copy.node.database.number(QUIET).await, 0);
}

/// A server with two databases, one of which follows the tables of the other.
#[tokio::test(flavor = "multi_thread")]
async fn what_logical_replication_writes_is_true_on_the_nodes_of_the_replica() {
    if !is_installed() {
        return;
    }
    let server = PrivateServer::start(&["-c", "wal_level=logical"]);
    let mut admin = PgConnection::connect(&server.url("postgres")).await.unwrap();
    for name in ["original", "replica"] {
        let create = format!("create database {name}");
        sqlx::raw_sql(AssertSqlSafe(create)).execute(&mut admin).await.unwrap();
    }
    let [original, replica] = ["original", "replica"].map(|name| Database::at(server.url(name)));
    let tables = "client, client_secret, installation, access_token, revoked_token";
    let scene = Scene::of(TestNode::on(original, TestNodeOptions::default()).await).await;
    let known = scene.client("orders").await;
    // In one cluster the slot has to be made first.
    for statement in [
        format!(
            "create publication rows for table {tables}
                 with (publish_via_partition_root = true)"
        ),
        "select pg_create_logical_replication_slot('rows', 'pgoutput')".to_owned(),
    ] {
        scene.node.database.execute_all(&statement).await;
    }
    replica.migrated().await;
    let host = server.url("").split_once("host=").unwrap().1.to_owned();
    for statement in [
        "delete from installation".to_owned(),
        format!(
            "create subscription rows
                 connection 'host={host} user=postgres dbname=original' publication rows
                 with (create_slot = false)"
        ),
    ] {
        replica.execute_all(&statement).await;
    }
    let copied = "select count(*) from pg_subscription_rel where srsubstate <> 'r'";
    until(&replica, copied, 0).await;

    let node = TestNode::on(replica, TestNodeOptions::default()).await;
    let copy = Scene { node, server: scene.server };
    // The tokens that were there are copied by one statement. Those that are issued afterwards are
    // nobody's doing by hand, and there may be thousands in a second.
    let made = |trail: Vec<String>| trail.iter().filter(|action| *action == "token.create").count();
    assert_eq!(made(copy.trail().await), 1);
    for _ in 0..5 {
        scene.node.issue(&known.owner).await.unwrap();
    }
    until(&copy.node.database, "select count(*) from access_token", 6).await;
    assert_eq!(made(copy.trail().await), 1);
    copy.cache(&known, true).await;
    let disable = "update client set state = 'disabled' where client_id = 'orders'";
    scene.node.database.execute_all(disable).await;
    let arrived = "select count(*) from client where state = 'disabled'";
    until(&copy.node.database, arrived, 1).await;
    copy.node.database.heard().await;
    assert!(!copy.is_active(&known).await);
    let version = "select version from client where client_id = 'orders'";
    let versions = [&scene.node.database, &copy.node.database].map(|on| on.number(version));
    let [of_original, of_copy] = versions;
    assert_eq!((of_original.await, of_copy.await), (2, 2));
    assert_eq!(copy.trail().await.last().unwrap(), "client.update");
}

async fn until(database: &Database, query: &str, expected: i64) {
    let began = Instant::now();
    while database.number(query).await != expected {
        assert!(began.elapsed() < Duration::from_secs(30), "{query}");
        sleep(Duration::from_millis(20)).await;
    }
}
