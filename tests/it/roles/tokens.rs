//! What each role is told about tokens, by the binary.

use serde_json::{Value, json};

use super::world::World;
use crate::support::{
    TestNode, TestNodeOptions,
    binary::{complaint, jeton},
};

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_explains_lists_and_revokes_and_a_reader_looks() {
    let world = World::new().await;
    let node = TestNode::on(world.database.shared(), TestNodeOptions::default()).await;
    let orders = node.client("orders").await;
    let token = node.issue(&orders).await.unwrap().access_token;
    let run = |role: &str, arguments: &[&str]| {
        let mut command = jeton();
        let database = world.of(role);
        command.args(arguments).args(["--json"]).args(database.flags());
        command.env("JETON_TOKEN", &token).output().unwrap()
    };
    let told = |role: &str, arguments: &[&str]| -> Value {
        let output = run(role, arguments);
        let told = serde_json::from_slice(&output.stdout);
        told.unwrap_or_else(|_| panic!("{role} {arguments:?}: {output:?}"))
    };
    for role in ["operator", "reader"] {
        let active = told(role, &["token", "explain"]);
        assert_eq!(active["active"], true, "{role}: {active}");
        assert_eq!(active["text_compared"], false, "{role} may not read digests");
        assert_eq!(told(role, &["token", "list", "orders"])["tokens"].as_array().unwrap().len(), 1);
        assert_eq!(told(role, &["token", "simulate", "orders"])["refusal"], Value::Null);
    }
    let listed = told("reader", &["token", "list", "orders"]);
    let id = listed["tokens"][0]["token_id"].as_str().unwrap();
    let revoke = ["token", "revoke", "--id", id, "--actor", "ada"];
    assert!(complaint(&run("reader", &revoke)).contains("lacks a privilege"));
    assert_eq!(told("operator", &revoke)["already_revoked"], false);
    assert!(!node.introspect(&orders, &token).await.unwrap().active);
    for role in ["operator", "reader"] {
        let inactive = told(role, &["token", "explain"]);
        let reason = &inactive["reasons"][0];
        assert_eq!((&reason["reason"], &reason["by"]), (&json!("revoked"), &json!("operator:ada")));
    }
    // A node may read digests, and not the trail.
    let inactive = told("service", &["token", "explain"]);
    assert_eq!(
        (&inactive["text_compared"], &inactive["audit_trail_readable"]),
        (&json!(true), &json!(false))
    );
    assert_eq!(inactive["reasons"][0]["reason"], "revoked");
    assert_eq!(inactive["reasons"][0]["by"], Value::Null);
}
