//! Scopes, and what a client may not have (7.6, and the end of 7.4).

use std::collections::BTreeSet;

use super::{GRANT, House, Row, TOKEN, post};
use crate::support::{http::basic, node::new_client};
use jeton::{domain::Scope, registry::NewClient};

/// 35, 56, 57, 59, 60
#[tokio::test(flavor = "multi_thread")]
async fn a_scope_is_registered_and_spelled_as_the_grammar_says() {
    let house = House::new().await;
    let mut rows: Vec<Row> = Vec::new();
    for (rule, scope) in [
        ("56: a space before", "+read"),
        ("56: a space behind", "read+"),
        ("56: two spaces", "read++write"),
        ("56: a space alone", "+"),
        ("56: a quote", "re%22ad"),
        ("56: a backslash", "re%5Cad"),
        ("56: not ASCII", "r%C3%A9ad"),
        ("57: another case", "READ"),
        ("59: one that is not registered", "read+canary"),
        ("60: a long one", &"s".repeat(129)),
        ("60: many", &(0..65).map(|n| format!("s{n}")).collect::<Vec<_>>().join("+")),
    ] {
        let request = house.post(TOKEN, &format!("{GRANT}&scope={scope}"));
        rows.push((rule, request, 400, "invalid_scope"));
    }
    let repeated = vec!["read"; 200].join("+");
    for (rule, scope) in [("57: order and repetition", "write+read+write"), ("57: many", &repeated)]
    {
        rows.push((rule, house.post(TOKEN, &format!("{GRANT}&scope={scope}")), 200, ""));
    }
    let server = basic(house.server.id(), house.server.secret());
    let refused = post(TOKEN, GRANT, Some(&server));
    rows.push(("35: a grant that it may not use", refused, 400, "unauthorized_client"));
    house.check(rows).await;
}

/// 57, 58, 59: what is granted is what was asked for, or else the default.
#[tokio::test(flavor = "multi_thread")]
async fn without_a_scope_the_default_is_granted_or_nothing() {
    let house = House::new().await;
    let node = &house.nodes[0];
    let some = Some(Scope::parse_set(["read"]).unwrap());
    let some = node.register(NewClient { default_scopes: some, ..new_client("some") }).await;
    let without = Some(BTreeSet::new());
    let without = node.register(NewClient { default_scopes: without, ..new_client("none") }).await;
    for wire in &house.wires {
        for (client, form, expected) in [
            (&house.client, GRANT, Some("read write")),
            (&some, GRANT, Some("read")),
            (&some, "grant_type=client_credentials&scope=", Some("read")),
            (&some, "grant_type=client_credentials&scope=write+read", Some("read write")),
            (&without, GRANT, None),
            (&without, "grant_type=client_credentials&scope=write", Some("write")),
        ] {
            let authorization = basic(client.id(), client.secret());
            let answer = wire.send(post(TOKEN, form, Some(&authorization))).await.json();
            match expected {
                Some(scope) => assert_eq!(answer["scope"], scope, "{form} over {}", wire.name()),
                None => assert_eq!(answer["error"], "invalid_scope", "{form} over {}", wire.name()),
            }
        }
    }
}
