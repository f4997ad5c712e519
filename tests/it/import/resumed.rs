//! An import that was killed is run again, and nobody waits for it meanwhile.

use std::{
    process::Stdio,
    time::{Duration, Instant},
};

use serde_json::json;
use tokio::time::sleep;

use super::{file, report, row};
use crate::support::{Kind, TestNode, binary::jeton};

const CLIENTS: usize = 10_000;

#[tokio::test(flavor = "multi_thread")]
async fn an_import_that_was_killed_goes_on_and_no_revocation_waits() {
    for kind in Kind::BOTH {
        let node = TestNode::start(kind).await;
        let caller = node.client("caller").await;
        let rows: String = (0..CLIENTS).map(|n| row(&format!("c{n}"), &json!({}))).collect();
        let file = file(&node.database, "clients.jsonl", &rows);
        let arguments = ["import", "--from", "hydra", &file];
        let mut command = jeton();
        command.args(arguments).args(node.database.flags());
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let imported = async || {
            let of_file = "select count(*) from client where client_id <> 'caller'";
            usize::try_from(node.database.number(of_file).await).unwrap()
        };
        let mut slowest = Duration::ZERO;
        while imported().await < CLIENTS / 10 {
            let token = node.issue(&caller).await.unwrap().access_token;
            let begun = Instant::now();
            node.revoke(&caller, &token).await.unwrap();
            slowest = slowest.max(begun.elapsed());
            sleep(Duration::from_millis(5)).await;
        }
        child.kill().unwrap();
        child.wait().unwrap();
        // All in one transaction, it would be as long as the import.
        assert!(slowest < Duration::from_secs(1), "{kind:?} {slowest:?}");
        sleep(Duration::from_millis(200)).await;
        let before = imported().await;
        assert!((CLIENTS / 10..CLIENTS).contains(&before), "{kind:?} {before}");
        let secrets = "select count(*) from client_secret where foreign_hash is not null";
        let of_file = usize::try_from(node.database.number(secrets).await).unwrap();
        assert_eq!(of_file, before, "each client has its secret");

        let (report, status) = report(&node.database, &arguments[1..]);
        let count = |outcome: &str| usize::try_from(report[outcome].as_u64().unwrap()).unwrap();
        assert_eq!((count("unchanged"), count("imported")), (before, CLIENTS - before));
        assert_eq!((status, imported().await), (0, CLIENTS));
    }
}
