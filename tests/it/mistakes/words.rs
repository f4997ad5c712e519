//! Mistakes about what stands in files, in variables and in arguments.

use std::{fs, os::unix::fs::PermissionsExt, process::Output};

use super::assert_says;
use crate::support::{
    Database, Kind,
    binary::{jeton, run, run_json},
};

/// A text in the form of a secret, which nobody made.
fn secret() -> String {
    format!("jts_{}", "A".repeat(75))
}

fn stderr(output: &Output) -> String {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn a_file_that_holds_something_else_than_a_secret_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("orders.secret");
    let shown = format!("client_id      orders\nclient_secret  {}\n", secret());
    let (token, part) = (secret().replace("jts_", "jta_"), secret()[..40].to_owned());
    let json = format!("{{\"client_secret\": \"{}\"}}\n", secret());
    for (text, expected) in [
        (" \n", "is empty"),
        ("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", "holds PEM"),
        (json.as_str(), "holds JSON"),
        (shown.as_str(), "has several lines"),
        (token.as_str(), "holds a token"),
        ("hunter2\n", "holds something else"),
        (part.as_str(), "is not complete"),
    ] {
        fs::write(&file, text).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
        let issue = ["token", "issue", "--client-id", "orders", "--secret-file"];
        let output = jeton().args(issue).arg(&file).output().unwrap();
        assert_says(&output, &["orders.secret", expected, "add-secret orders --out FILE"]);
        assert!(!String::from_utf8_lossy(&output.stderr).contains("AAAA"), "{output:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_in_place_of_a_token_and_no_token_are_told() {
    let database = Database::ready(Kind::Sqlite).await;
    let explain = |token: &str| {
        let mut jeton = jeton();
        jeton.args(["token", "explain"]).args(database.flags()).env("JETON_TOKEN", token);
        jeton.stdin(std::process::Stdio::null()).output().unwrap()
    };
    let commands = ["a client secret", "`jeton secret scan FILE`", "`jeton secret burn FILE`"];
    assert_says(&explain(&secret()), &commands);
    let missing = explain("");
    assert_says(&missing, &["no token", "a FILE", "--id", "JETON_TOKEN", "standard input"]);
    assert!(!String::from_utf8_lossy(&missing.stderr).contains("--token-file"), "{missing:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scope_with_a_comma_is_accepted_and_remarked_on() {
    let database = Database::ready(Kind::Sqlite).await;
    let create = ["client", "create", "--client-id", "orders", "--scope", "a,b"];
    let said = stderr(&run(&create, &database));
    assert!(said.contains("several are --scope a --scope b"), "{said}");
    let update = ["client", "update", "orders", "--add-scope", "c,d"];
    let said = stderr(&run(&update, &database));
    assert!(said.contains("several are --add-scope c --add-scope d"), "{said}");
    let shown = run_json(&["client", "show", "orders"], &database);
    assert_eq!(shown["scopes"], serde_json::json!(["a,b", "c,d"]));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_administrator_takes_one_more_try_and_not_three() {
    let database = Database::ready(Kind::Sqlite).await;
    let create = ["client", "create", "--client-id", "pipeline", "--scope", "jeton:write"];
    let refused = run(&create, &database);
    let flags = ["--audience", "urn:jeton:administration", "--token-lifetime", "15m"];
    assert_says(&refused, &[&flags.join(" ")]);
    run_json(&[&create[..], &flags].concat(), &database);
}

#[test]
fn a_client_id_without_its_flag_gets_a_tip() {
    for command in [&["client", "create"][..], &["bootstrap"], &["token", "issue"]] {
        let output = jeton().args(command).arg("orders").output().unwrap();
        assert_says(&output, &["unexpected argument", "tip: ", "--client-id orders"]);
        assert_eq!(output.status.code(), Some(2));
    }
    let output = jeton().args(["client", "create", "orders", "--json"]).output().unwrap();
    assert_says(&output, &["unexpected argument", "--client-id orders"]);
    let other = jeton().args(["client", "show", "orders", "stock"]).output().unwrap();
    assert!(!String::from_utf8_lossy(&other.stderr).contains("--client-id"), "{other:?}");
}
