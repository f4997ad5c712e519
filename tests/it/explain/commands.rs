//! `jeton token explain`, `simulate`, `list` and `revoke --id`, on the database alone.

use std::process::Output;

use serde_json::{Value, json};

use super::{World, id_of};
use crate::support::{
    Database, Kind,
    binary::{complaint, jeton, run},
};

/// Runs a command that reads the token from the environment, and has this exit status.
fn told(database: &Database, token: &str, arguments: &[&str], status: i32) -> Value {
    let output = jeton()
        .args(arguments)
        .args(["--json"])
        .args(database.flags())
        .env("JETON_TOKEN", token)
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(status), "{arguments:?}: {output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(token.is_empty() || !text.contains(token), "{text}");
    serde_json::from_str(&text).unwrap()
}

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_lists_explains_and_revokes_a_token() {
    for kind in Kind::BOTH {
        let at = World::new(kind).await;
        let (database, token) = (&at.node.database, &at.token);
        let id = id_of(token).0.to_string();
        let listed = told(database, "", &["token", "list", "orders"], 0);
        assert_eq!(listed["has_more"], false);
        assert_eq!(listed["tokens"][0]["token_id"], *id, "{kind:?}");
        assert_eq!(listed["tokens"][0]["scopes"], json!(["read", "write"]));
        assert_eq!(listed["tokens"][0]["secret_id"], at.orders.secret.id().0.to_string());

        let explain = ["token", "explain", "--as", "stock"];
        let active = told(database, token, &explain, 0);
        assert_eq!((&active["active"], &active["text_compared"]), (&json!(true), &json!(true)));
        assert_eq!(active["as"]["sees"]["audiences"], json!(["https://api.test"]));

        let revoke = ["token", "revoke", "--id", &id, "--actor", "ada"];
        let revoked = told(database, "", &revoke, 0);
        assert_eq!(
            (&revoked["client_id"], &revoked["already_revoked"]),
            (&json!("orders"), &json!(false))
        );
        assert!(!at.node.introspect(&at.stock, token).await.unwrap().active, "{kind:?}");
        assert_eq!(told(database, "", &revoke, 0)["already_revoked"], true);

        let inactive = told(database, token, &explain, 3);
        let reason = &inactive["reasons"][0];
        assert_eq!((&reason["reason"], &reason["by"]), (&json!("revoked"), &json!("operator:ada")));
        assert_eq!(inactive["as"]["sees"], Value::Null);
        let by_id = told(database, "", &["token", "explain", "--id", &id], 3);
        assert_eq!(by_id["text_compared"], Value::Null);
        assert_eq!(told(database, "", &["token", "list", "orders"], 0)["tokens"], json!([]));

        // For people.
        let output = run(&["token", "explain", "--id", &id], database);
        let said = stdout(&output);
        for part in ["The token is inactive:", "revoked\t", "operator:ada", "client_id", &id] {
            assert!(said.contains(part), "{part} in {said}");
        }
        let none = ["token", "revoke", "--id", "00000000-0000-0000-0000-000000000007"];
        let output = run(&none, database);
        assert!(complaint(&output).contains("there is no token"), "{output:?}");
        assert_eq!(output.status.code(), Some(4), "{kind:?}");
        assert_eq!(
            run(&["token", "explain", "--id", &id, "--as", "nobody"], database).status.code(),
            Some(4)
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_of_tokens_is_bounded_and_says_so() {
    for kind in Kind::BOTH {
        let at = World::new(kind).await;
        let (_, other) = at.other("other").await;
        let newer = at.node.issue(&at.orders).await.unwrap().access_token;
        let list = ["token", "list", "orders", "--limit", "1"];
        let listed = told(&at.node.database, "", &list, 0);
        assert_eq!(listed["has_more"], true, "{kind:?}");
        assert_eq!(listed["tokens"].as_array().unwrap().len(), 1);
        let newest = id_of(&newer).max(id_of(&at.token)).0.to_string();
        assert_eq!(listed["tokens"][0]["token_id"], newest, "{kind:?}");
        let output = run(&list, &at.node.database);
        assert!(String::from_utf8_lossy(&output.stderr).contains("There are more"), "{output:?}");
        assert!(!stdout(&output).contains(&id_of(&other).0.to_string()));
        let zero = run(&["token", "list", "orders", "--limit", "0"], &at.node.database);
        assert_eq!(zero.status.code(), Some(2));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_simulates_a_request() {
    for kind in Kind::BOTH {
        let at = World::new(kind).await;
        let database = &at.node.database;
        let simulate = ["token", "simulate", "orders"];
        let granted = told(database, "", &[&simulate[..], &["--scope", "read"]].concat(), 0);
        let expected = json!({
            "scopes": ["read"], "audiences": ["https://api.test"], "lifetime_seconds": 3_600,
        });
        assert_eq!(granted["token"], expected, "{kind:?}");
        assert_eq!((&granted["live_secrets"], &granted["refusal"]), (&json!(1), &Value::Null));

        let refused = told(database, "", &[&simulate[..], &["--scope", "admin"]].concat(), 3);
        assert_eq!(refused["refusal"]["reason"], "INVALID_SCOPE", "{kind:?}");
        let output = run(&["token", "simulate", "stock"], database);
        assert_eq!(output.status.code(), Some(3));
        let said = stdout(&output);
        assert!(
            said.contains("UNAUTHORIZED_CLIENT") && said.contains("default of the node"),
            "{said}"
        );
        assert_eq!(run(&["token", "simulate", "nobody"], database).status.code(), Some(4));
    }
}
