//! What a copy refuses, and what it leaves behind when it is interrupted: nothing.

use std::{
    fs,
    process::{Child, Stdio},
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};
use sqlx::{Connection, PgConnection};

use super::destination;
use crate::support::{
    Database, Kind,
    binary::{Served, complaint, jeton, run, run_json},
};

async fn with_client(kind: Kind) -> Database {
    let database = Database::ready(kind).await;
    run_json(&["client", "create", "--client-id", "orders"], &database);
    database
}

/// A copy that has to fail with this status, and what it says.
fn refused(to: &Database, status: i32) -> String {
    let output = run(&["copy"], to);
    let said = complaint(&output);
    assert_eq!(output.status.code(), Some(status), "{said}");
    said
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_is_in_use_is_not_copied() {
    let database = with_client(Kind::Sqlite).await;
    let to = destination(&database).await;
    let node = Served::start(&database, &[]);
    let said = refused(&to, 6);
    assert!(said.contains("is using") && said.contains("stop it first"), "{said}");
    // It is killed, and leaves its newest rows in the write-ahead log.
    node.end();
    assert_eq!(run_json(&["copy"], &to)["clients"], 1);

    // The other way round.
    let to = destination(&database).await;
    let _node = Served::start(&to, &[]);
    let said = refused(&to, 6);
    assert!(said.contains("a running node") && said.contains("createdb"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_is_not_empty_stays_as_it_is() {
    let database = with_client(Kind::Sqlite).await;
    let mut other = with_client(Kind::Postgres).await;
    other.dir = std::sync::Arc::clone(&database.dir);
    let shown = run_json(&["client", "show", "orders"], &other);
    let said = refused(&other, 6);
    assert!(said.contains("clients, an audit trail"), "{said}");
    assert_eq!(run_json(&["client", "show", "orders"], &other), shown);

    let to = destination(&database).await;
    let file = database.dir.path().join("jeton.db");
    let bytes = fs::read(&file).unwrap();
    run_json(&["copy"], &to);
    assert!(refused(&to, 6).contains("is not empty"));
    assert_eq!(fs::read(&file).unwrap(), bytes, "the source is not written to");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mistake_is_told_with_the_way_out() {
    let database = Database::new(Kind::Sqlite).await;
    let to = destination(&database).await;
    let said = refused(&to, 4);
    assert!(said.contains("jeton.db") && said.contains("--data-dir"), "{said}");
    assert_eq!(fs::read_dir(database.dir.path()).unwrap().count(), 0);
    database.migrated().await.close().await;
    let nowhere = run(&["copy"], &database);
    assert_eq!(nowhere.status.code(), Some(2));
    assert!(complaint(&nowhere).contains("--database-url"));

    run_json(&["client", "create", "--client-id", "orders"], &database);
    let alter = "drop trigger audit_is_append_only; update audit set actor = 'operator:eve'";
    database.execute_all(alter).await;
    let said = refused(&to, 8);
    assert!(said.contains("does not verify") && said.contains("was altered"), "{said}");
    assert_eq!(run_json(&["client", "list"], &to), serde_json::json!([]));
}

fn copying(to: &Database) -> Child {
    let mut command = jeton();
    command.arg("copy").args(to.flags()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.spawn().unwrap()
}

/// Held up behind clients, secrets and tokens, which it has sent already.
#[tokio::test(flavor = "multi_thread")]
async fn a_copy_that_is_interrupted_or_killed_leaves_the_database_empty() {
    let database = with_client(Kind::Sqlite).await;
    let to = destination(&database).await;
    to.migrated().await.close().await;
    for signal in [Signal::INT, Signal::KILL] {
        let mut holder = PgConnection::connect(&to.url).await.unwrap();
        let lock = "begin; lock table secret_source in access exclusive mode";
        sqlx::raw_sql(lock).execute(&mut holder).await.unwrap();
        let child = copying(&to);
        let waits = "select count(*) from pg_locks
                     where not granted and relation = 'secret_source'::regclass";
        while to.number(waits).await == 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        kill_process(Pid::from_child(&child), signal).unwrap();
        let ended = child.wait_with_output().unwrap();
        assert!(!ended.status.success());
        if signal == Signal::INT {
            assert!(complaint(&ended).contains("interrupted"));
        }
        holder.close().await.unwrap();
        let left = "select (select count(*) from client) + (select count(*) from audit)";
        assert_eq!(to.number(left).await, 0, "{signal:?}");
    }
    let copied = run_json(&["copy"], &to);
    assert_eq!(copied["clients"], 1);
}
