//! `jeton doctor`: what it finds in order, and what it says about what is not.

use std::{fs, os::unix::fs::PermissionsExt, process::Output};

use serde_json::Value;

use crate::support::{
    Database, Kind,
    binary::{run, run_json},
};

fn look(database: &Database) -> (Output, Value) {
    let output = run(&["doctor", "--json"], database);
    let said = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"));
    (output, said)
}

/// State and text of a check, with what to do.
fn check(said: &Value, name: &str) -> (String, String) {
    let mut checks = said["checks"].as_array().unwrap().iter();
    let check = checks.find(|check| check["check"] == name).unwrap_or_else(|| panic!("{said}"));
    let text = |field: &str| check[field].as_str().unwrap().to_owned();
    (text("state"), format!("{} {}", text("found"), text("to_do")))
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_in_order_is_ok_and_the_status_is_0() {
    for kind in Kind::BOTH {
        let database = Database::ready(kind).await;
        run_json(&["client", "create", "--client-id", "orders"], &database);
        let (output, said) = look(&database);
        assert_eq!(output.status.code(), Some(0), "{kind:?}: {said}");
        let checks = said["checks"].as_array().unwrap();
        assert_eq!(checks.len(), 11, "{said}");
        assert!(checks.iter().all(|check| check["state"] == "ok"), "{said}");
        assert!(check(&said, "clients").1.contains("1 registered"), "{said}");
        let table = run(&["doctor"], &database);
        let table = String::from_utf8(table.stdout).unwrap();
        assert!(table.starts_with("state\tcheck\tfound\tto do\nok\tdata directory\t"), "{table}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_needs_an_operator_is_said_with_what_to_do() {
    for kind in Kind::BOTH {
        let database = Database::ready(kind).await;
        let create = "client create --client-id orders --audience https://a.test \
                      --audience https://b.test --secret-expires-in 86400";
        run_json(&create.split_whitespace().collect::<Vec<_>>(), &database);
        run_json(&["tag-key", "rotate"], &database);
        let (output, said) = look(&database);
        assert_eq!(output.status.code(), Some(3), "{kind:?}: {said}");
        for (name, part) in [
            ("default audiences", "--default-audience"),
            ("default audiences", "orders"),
            ("secrets", "1 end within 30 days, of orders"),
            ("tag key", "1 secrets were made with the previous key"),
            ("tag key", "jeton tag-key retire"),
        ] {
            let (state, text) = check(&said, name);
            assert_eq!(state, "advice", "{kind:?}: {name}");
            assert!(text.contains(part), "{kind:?}: {text}");
        }
        for name in ["schema", "clock", "clients"] {
            assert_eq!(check(&said, name).0, "ok", "{kind:?}: {name}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn active_clients_without_a_live_secret_are_named() {
    for kind in Kind::BOTH {
        let database = Database::ready(kind).await;
        for id in ["orders", "stock", "off"] {
            run_json(&["client", "create", "--client-id", id], &database);
        }
        run_json(&["client", "disable", "off"], &database);
        database.execute("update client_secret set expires_at = created_at").await;
        let (output, said) = look(&database);
        assert_eq!(output.status.code(), Some(3), "{kind:?}: {said}");
        let (state, text) = check(&said, "live secrets");
        assert_eq!(state, "advice", "{kind:?}: {text}");
        for part in ["orders, stock ", "`jeton client add-secret orders`"] {
            assert!(text.contains(part), "{kind:?}: {part} in {text}");
        }
        assert!(!text.contains("off"), "{kind:?}: a disabled client needs none: {text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_that_is_open_and_a_schema_that_is_missing_are_faults() {
    let database = Database::ready(Kind::Sqlite).await;
    let folder = database.dir.path();
    fs::set_permissions(folder, fs::Permissions::from_mode(0o777)).unwrap();
    let (output, said) = look(&database);
    assert_eq!(output.status.code(), Some(3), "{said}");
    assert_eq!(check(&said, "data directory").0, "fault", "{said}");
    fs::set_permissions(folder, fs::Permissions::from_mode(0o700)).unwrap();

    for kind in Kind::BOTH {
        let empty = Database::new(kind).await;
        let (output, said) = look(&empty);
        assert_eq!(output.status.code(), Some(3), "{kind:?}: {said}");
        let (state, text) = check(&said, "schema");
        assert_eq!(state, "fault", "{kind:?}");
        assert!(text.contains("jeton migrate"), "{kind:?}: {text}");
    }
}
