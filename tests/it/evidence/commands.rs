//! The commands of a rotation, as an operator types them.

use serde_json::Value;

use super::OFTEN;
use crate::support::{
    Database, Kind, TestNode, TestNodeOptions,
    binary::{complaint, run, run_json},
    node::Credentials,
};
use jeton::domain::ClientSecret;

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap_or_else(|| panic!("{name} in {value}"))
}

/// The credentials of a secret that a command has shown.
async fn credentials(node: &TestNode, id: &str, shown: &Value) -> Credentials {
    let id = jeton::domain::ClientId::parse(id).unwrap();
    let found = node.store.find_client(&id, None).await.unwrap().unwrap();
    let secret = ClientSecret::parse(text(shown, "client_secret")).unwrap();
    Credentials { client: found.client.as_ref().clone(), secret }
}

/// What `jeton client secrets` says of a secret once it says this verdict.
async fn until_verdict(database: &Database, at: usize, verdict: &str) -> Value {
    loop {
        let report = run_json(&["client", "secrets", "orders"], database);
        if report["secrets"][at]["verdict"] == verdict {
            return report;
        }
        tokio::time::sleep(OFTEN).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rotation_takes_three_commands_and_an_undo_one_more() {
    for kind in Kind::BOTH {
        let database = Database::ready(kind).await;
        let options = TestNodeOptions { secret_use_interval: OFTEN, ..Default::default() };
        let node = TestNode::on(database.shared(), options).await;
        let first = run_json(&["client", "create", "--client-id", "orders"], &database);
        let old = credentials(&node, "orders", &first).await;
        let report = until_verdict(&database, 0, "NO_SUCCESSOR").await;
        assert_eq!(
            (&report["secrets"][0]["uses"], &report["window_seconds"]),
            (&0.into(), &86_400.into())
        );
        node.issue(&old).await.unwrap();
        until_verdict(&database, 0, "IN_USE").await;

        // 1. A new secret.
        let rotated = run(&["client", "rotate", "orders", "--label", "2027"], &database);
        let said = String::from_utf8_lossy(&rotated.stderr).into_owned();
        assert!(rotated.status.success(), "{said}");
        let id = text(&first, "secret_id");
        assert!(said.contains(&format!("Before: {id}, last used ")), "{kind:?}: {said}");
        assert!(said.contains(&format!("retire-secret orders {id} --after 24h")), "{said}");
        let shown = String::from_utf8(rotated.stdout).unwrap();
        let shown = shown.lines().find_map(|line| line.strip_prefix("client_secret"));
        crate::support::everything::note_secrets_in(shown.unwrap());
        let secret = ClientSecret::parse(shown.unwrap().trim()).unwrap();
        let new = Credentials { client: old.client.clone(), secret };

        // 2. Evidence: the old one is in use, from here, and refused by the retirement.
        let report = until_verdict(&database, 0, "IN_USE").await;
        let known = &report["secrets"][0];
        assert_eq!((text(known, "last_source"), &known["uses"]), ("127.0.0.1", &1.into()));
        assert_eq!(known["sources"][0]["source"], "127.0.0.1");
        assert!(report["evidence"]["is_complete"].as_bool().unwrap(), "{report}");
        node.issue(&new).await.unwrap();
        until_verdict(&database, 1, "IN_USE").await;
        let table = run(&["client", "secrets", "orders"], &database);
        let table = String::from_utf8(table.stdout).unwrap();
        assert!(table.lines().nth(1).unwrap().contains("in use"), "{table}");

        // 3. Retirement, which asks for a word if it is in use, and the undo.
        let retire = ["client", "retire-secret", "orders", id, "--after", "24h"];
        let refused = run(&retire, &database);
        assert_eq!(refused.status.code(), Some(6), "{kind:?}");
        let said = complaint(&refused);
        assert!(said.contains("--even-if-in-use") && said.contains("127.0.0.1"), "{said}");
        let retired = run_json(&[&retire[..], &["--even-if-in-use"]].concat(), &database);
        assert_eq!(
            (&retired["done"], &retired["live_secrets_left"]),
            (&"retiring".into(), &2.into())
        );
        let report = run_json(&["client", "secrets", "orders"], &database);
        assert_eq!(report["secrets"][0]["state"], "retiring", "{kind:?}");
        assert_eq!(report["secrets"][0]["retire_at"], retired["retire_at"]);
        node.issue(&old).await.unwrap();
        let restored = run_json(&["client", "restore-secret", "orders", id], &database);
        assert_eq!(text(&restored, "done"), "restored");
        let shown = run_json(&["client", "show", "orders"], &database);
        assert_eq!(shown["secrets"][0]["state"], "live", "{kind:?}");
        assert_eq!(shown["secrets"][0]["expires_at"], first["secret_expires_at"]);

        let leak = ["client", "retire-secret", "orders", id, "--leaked"];
        assert!(run(&leak, &database).status.success(), "a leak is never held up");
        let refused = run(&["client", "restore-secret", "orders", id], &database);
        assert_eq!(refused.status.code(), Some(6), "{kind:?}");
        assert!(complaint(&refused).contains("has leaked"), "{refused:?}");
        for retire in [&["--after", "1 day"][..], &["--after", "1d", "--leaked"]] {
            let refused = run(&[&leak[..4], retire].concat(), &database);
            assert_eq!(refused.status.code(), Some(2), "{kind:?}: {refused:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn secrets_that_expire_and_clients_that_are_dead_are_findings() {
    for kind in Kind::BOTH {
        let database = Database::ready(kind).await;
        let options = TestNodeOptions { secret_use_interval: OFTEN, ..Default::default() };
        let node = TestNode::on(database.shared(), options).await;
        let early = run(&["client", "expiring"], &database);
        assert!(early.status.success(), "{early:?}");
        let early = run(&["client", "dead"], &database);
        let said = String::from_utf8_lossy(&early.stderr);
        assert!(
            early.status.success() && said.contains("not counted for all of 90 days"),
            "{said}"
        );
        let create = ["client", "create", "--secret-expires-in", "864000", "--client-id"];
        let used = run_json(&[&create[..], &["orders"]].concat(), &database);
        run_json(&[&create[..], &["stock"]].concat(), &database);
        run_json(&["client", "create", "--client-id", "young"], &database);
        let orders = credentials(&node, "orders", &used).await;
        node.issue(&orders).await.unwrap();
        super::until(&node.store, &orders, |known| known.uses == 1).await;

        let found = run(&["client", "expiring", "--within", "11d", "--json"], &database);
        assert_eq!(found.status.code(), Some(3), "{kind:?}: {found:?}");
        let found: Value = serde_json::from_slice(&found.stdout).unwrap();
        assert_eq!(found["secrets"].as_array().unwrap().len(), 2, "{found}");
        let of = |id: &str| {
            let mut secrets = found["secrets"].as_array().unwrap().iter();
            secrets.find(|secret| secret["client_id"] == id).unwrap().clone()
        };
        assert!(of("orders")["last_used_at"].is_string() && of("stock")["last_used_at"].is_null());
        let later = run(&["client", "expiring", "--within", "9d"], &database);
        assert!(later.status.success(), "{kind:?}: {later:?}");

        // Clients of yesterday: one is used, and of the other nothing is known yet.
        let yesterday = match kind {
            Kind::Postgres => "now() - interval '30 hours'",
            Kind::Sqlite => "(unixepoch() - 108000) * 1000000",
        };
        let old = format!("update client set created_at = {yesterday} where client_id <> 'young'");
        database.execute(&old).await;
        let dead = ["client", "dead", "--since", "1d", "--json"];
        let unknown = run_json(&dead[..4], &database);
        let stock = serde_json::json!([{ "client_id": "stock", "last_used_at": null }]);
        assert_eq!((&unknown["dead"], &unknown["unknown"]), (&serde_json::json!([]), &stock));
        // Once uses were counted for long enough, it is known to be dead.
        database.execute(&format!("update evidence_gap set until = {yesterday}")).await;
        let found = run(&dead, &database);
        assert_eq!(found.status.code(), Some(3), "{kind:?}: {found:?}");
        let found: Value = serde_json::from_slice(&found.stdout).unwrap();
        assert_eq!(
            (&found["dead"], &found["unknown"]),
            (&stock, &serde_json::json!([])),
            "{kind:?}"
        );
        let table = run(&dead[..4], &database);
        assert!(String::from_utf8_lossy(&table.stdout).contains("stock\tdead\tno use counted"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_is_changed_and_a_deletion_taken_back_by_commands() {
    for kind in Kind::BOTH {
        let database = Database::ready(kind).await;
        let created = run_json(&["client", "create", "--client-id", "orders"], &database);
        let id = text(&created, "secret_id");
        let change = ["client", "update-secret", "orders", id];
        let label = ["--label", "2027", "--expires-in", "30d"];
        let updated = run_json(&[&change[..], &label].concat(), &database);
        assert_eq!((text(&updated, "done"), text(&updated, "label")), ("updated", "2027"));
        assert_ne!(updated["expires_at"], created["secret_expires_at"], "{kind:?}");
        let later = run(&[&change[..], &["--expires-in", "31d"]].concat(), &database);
        assert_eq!(later.status.code(), Some(6), "{kind:?}");
        assert!(complaint(&later).contains("can only be brought forward"), "{later:?}");
        for wrong in [&[][..], &["--expires-in", "0s"], &["--expires-in", "never"]] {
            let refused = run(&[&change[..], wrong].concat(), &database);
            assert_eq!(refused.status.code(), Some(2), "{kind:?}: {refused:?}");
        }

        let early = run(&["client", "undelete", "orders"], &database);
        assert_eq!(early.status.code(), Some(4), "{kind:?}: it is there");
        run_json(&["client", "delete", "orders", "--yes"], &database);
        let undeleted = run_json(&["client", "undelete", "orders"], &database);
        assert_eq!(text(&undeleted, "done"), "undeleted", "{kind:?}");
        let shown = run_json(&["client", "show", "orders"], &database);
        assert_eq!(
            (text(&shown, "state"), text(&shown["secrets"][0], "label")),
            ("disabled", "2027")
        );
        run_json(&["client", "enable", "orders"], &database);

        // Another client has the name.
        run_json(&["client", "delete", "orders", "--yes"], &database);
        run_json(&["client", "create", "--client-id", "orders"], &database);
        let taken = run(&["client", "undelete", "orders"], &database);
        assert_eq!(taken.status.code(), Some(6), "{kind:?}");
    }
}
