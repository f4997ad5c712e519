//! An import that was killed halfway is run again, and nobody waits for it meanwhile.

use std::{
    process::Stdio,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use tokio::{task::spawn_blocking, time::sleep};

use super::{file, row};
use crate::support::{Kind, TestNode, binary::jeton, node::Credentials};

const CLIENTS: usize = 10_000;

/// Clients of the file that are there.
async fn imported(node: &TestNode) -> usize {
    let of_file = "select count(*) from client where client_id <> 'caller'";
    usize::try_from(node.database.number(of_file).await).unwrap()
}

/// Revokes one token after the other until this many clients of the file are there. Returns how
/// long the slowest revocation took.
async fn revoke_until(clients: usize, node: &TestNode, caller: &Credentials) -> Duration {
    let mut slowest = Duration::ZERO;
    while imported(node).await < clients {
        let token = node.issue(caller).await.unwrap().access_token;
        let begun = Instant::now();
        node.revoke(caller, &token).await.unwrap();
        slowest = slowest.max(begun.elapsed());
        sleep(Duration::from_millis(5)).await;
    }
    slowest
}

#[tokio::test(flavor = "multi_thread")]
async fn an_import_that_was_killed_halfway_goes_on_and_no_revocation_waits() {
    for kind in Kind::BOTH {
        let node = TestNode::start(kind).await;
        let caller = node.client("caller").await;
        let rows: String = (0..CLIENTS).map(|n| row(&format!("c{n}"), &json!({}))).collect();
        let file = file(&node.database, "clients.jsonl", &rows);
        let arguments = ["import", "--from", "hydra", &file];
        let mut command = jeton();
        command.args(arguments).args(node.database.flags());
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let first = revoke_until(CLIENTS / 2, &node, &caller).await;
        child.kill().unwrap();
        child.wait().unwrap();
        sleep(Duration::from_millis(200)).await;
        let before = imported(&node).await;
        assert!((CLIENTS / 2..CLIENTS).contains(&before), "{kind:?} {before}");
        let secrets = "select count(*) from client_secret where foreign_hash is not null";
        let of_file = usize::try_from(node.database.number(secrets).await).unwrap();
        assert_eq!(of_file, before, "each client has its secret");

        let mut command = jeton();
        command.args(arguments).arg("--json").args(node.database.flags());
        let again = spawn_blocking(move || command.output().unwrap());
        let second = revoke_until(CLIENTS, &node, &caller).await;
        let again = again.await.unwrap();
        let report: Value = serde_json::from_slice(&again.stdout).unwrap();
        let count = |outcome: &str| usize::try_from(report[outcome].as_u64().unwrap()).unwrap();
        assert_eq!((count("unchanged"), count("imported")), (before, CLIENTS - before));
        assert_eq!((again.status.code(), imported(&node).await), (Some(0), CLIENTS));
        println!("{kind:?}: slowest revocation {first:?}, and {second:?} after the kill");
        // All in one transaction, it would be as long as the import.
        assert!(first.max(second) < Duration::from_secs(1), "{kind:?} {first:?} {second:?}");
    }
}
