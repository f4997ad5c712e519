//! What a token is worth (7.9).

use std::{sync::Arc, time::Duration};

use ::http::Method;
use jeton::{
    domain::{ClientState, Clock, ManualClock, SystemClock, TokenLifetime},
    pb::v1::IssueTokenRequest,
    registry::NewClient,
    store::Retirement,
};
use serde_json::{Value, json};

use super::{House, INTROSPECT, REVOKE, Row, assert_sound, post, with};
use crate::support::{
    Kind, TestNode, TestNodeOptions,
    http::{Answer, basic},
    node::{audiences, issue_request, new_client},
    wire::Wire,
};

const INACTIVE: &str = r#"{"active":false}"#;

/// Asks, and expects an answer.
async fn ask(wire: &Wire, authorization: &str, form: &str) -> Answer {
    let answer = wire.send(post(INTROSPECT, form, Some(authorization))).await;
    assert_eq!(answer.status, 200, "{} {:?}", wire.name(), answer.body);
    assert_sound(&answer, INTROSPECT, &wire.name());
    assert_eq!(answer.header("content-type"), "application/json", "{}", wire.name());
    answer
}

/// 70, 71, 76, 77: who asks, by which method, for what.
#[tokio::test(flavor = "multi_thread")]
async fn a_caller_authenticates_and_names_a_token() {
    let house = House::new().await;
    let token = house.issue().await;
    let form = format!("token={token}");
    let bearer = format!("Bearer {token}");
    let mut get = house.post(&format!("{INTROSPECT}?{form}"), "");
    *get.method_mut() = Method::GET;
    let rows: [Row; 8] = [
        ("70: nobody", post(INTROSPECT, &form, None), 401, "invalid_client"),
        ("70: by a token", post(INTROSPECT, &form, Some(&bearer)), 401, "invalid_client"),
        (
            "70: a wrong secret",
            post(INTROSPECT, &form, Some(&basic("api", "wrong"))),
            401,
            "invalid_client",
        ),
        ("71: no token", house.post(INTROSPECT, ""), 400, "invalid_request"),
        ("71: an empty one", house.post(INTROSPECT, "token="), 400, "invalid_request"),
        ("77: by GET", get, 405, "invalid_request"),
        ("76: with NUL", house.post(INTROSPECT, "token=a%00b"), 400, "invalid_request"),
        (
            "76: longer than any body",
            house.post(INTROSPECT, &format!("token={}", "x".repeat(100_000))),
            413,
            "invalid_request",
        ),
    ];
    house.check(rows).await;
}

/// 72, 75, 79: all that is told of an active token, whatever is hinted and whatever is accepted.
#[tokio::test(flavor = "multi_thread")]
async fn an_active_token_is_described_in_the_types_of_the_rfc() {
    let house = House::new().await;
    let two = ["https://api.test", "https://other.test"];
    let (audiences, several_audiences) = (audiences(&two), true);
    let new = NewClient { audiences, several_audiences, ..new_client("two") };
    let owner = house.nodes[0].register(new).await;
    let server = basic(house.server.id(), house.server.secret());
    let resources = two.map(str::to_owned).to_vec();
    let request = IssueTokenRequest { resources, ..issue_request(&owner) };
    let several = house.nodes[0].grpc.clone().issue_token(request).await.unwrap().into_inner();
    let (owner, several) = (basic(owner.id(), owner.secret()), several.access_token);
    let one = house.issue().await;
    for wire in &house.wires {
        let node = &house.nodes[usize::from(wire.tls.is_some())].node;
        let first = ask(wire, &server, &format!("token={one}")).await;
        let seen = first.json();
        let (iat, jti) = (seen["iat"].as_i64().unwrap(), seen["jti"].as_str().unwrap());
        assert_eq!(
            seen,
            json!({
                "active": true, "client_id": "orders", "sub": "orders", "scope": "read write",
                "aud": "https://api.test", "iss": node.issuer(), "jti": jti,
                "token_type": "Bearer", "exp": iat + 3600, "iat": iat, "nbf": iat,
            }),
            "75: {}",
            wire.name()
        );
        let seen = ask(wire, &owner, &format!("token={several}")).await.json();
        assert_eq!(seen["aud"], json!(two), "75: several");
        let seen = ask(wire, &server, &format!("token={several}")).await.json();
        assert_eq!(seen["aud"], "https://api.test", "74: its own audience alone");
        for hint in ["access_token", "refresh_token", "canary", ""] {
            let hinted = format!("token={one}&token_type_hint={hint}");
            assert_eq!(ask(wire, &server, &hinted).await.body, first.body, "72: {hint}");
        }
        for accept in ["application/token-introspection+jwt", "text/html", "", "*/*;q=0"] {
            let request = post(INTROSPECT, &format!("token={one}"), Some(&server));
            let request = with(with(request, "accept", accept), "accept-encoding", "gzip, br");
            let answer = wire.send(request).await;
            assert_eq!(answer.header("content-type"), "application/json", "79: {accept}");
            assert!(answer.headers.get("content-encoding").is_none(), "79: {accept}");
            assert_eq!(answer.body, first.body, "79: {accept}");
        }
    }
}

/// 73, 74, 76: whatever is wrong with a token, the answer is the same bytes.
#[tokio::test(flavor = "multi_thread")]
async fn an_inactive_token_does_not_say_why() {
    let clock = Arc::new(ManualClock::at(SystemClock.now()));
    let options =
        TestNodeOptions { clock: Arc::<ManualClock>::clone(&clock), ..TestNodeOptions::default() };
    let house = House::with(options).await;
    let node = &house.nodes[0];
    let tokens: Vec<(&str, String)> = {
        let short = TokenLifetime::from_seconds(60).unwrap();
        let issue = async |name: &str, token_lifetime| {
            let client = node.register(NewClient { token_lifetime, ..new_client(name) }).await;
            let token = node.issue(&client).await.unwrap().access_token;
            (client, token)
        };
        let (_, expired) = issue("expired", short).await;
        let (owner, revoked) = issue("revoked", TokenLifetime::DEFAULT).await;
        node.revoke(&owner, &revoked).await.unwrap();
        let (client, disabled) = issue("disabled", TokenLifetime::DEFAULT).await;
        let (id, state) = (&client.client.client_id, ClientState::Disabled);
        node.registry.set_client_state(id, state).await.unwrap();
        let (client, deleted) = issue("deleted", TokenLifetime::DEFAULT).await;
        node.registry.delete_client(&client.client.client_id).await.unwrap();
        let (client, leaked) = issue("leaked", TokenLifetime::DEFAULT).await;
        let (id, secret) = (&client.client.client_id, client.secret.id());
        node.registry.retire_secret(id, secret, Retirement::Leaked).await.unwrap();
        let elsewhere = TestNode::start(Kind::Sqlite).await;
        let client = elsewhere.client("orders").await;
        let foreign = elsewhere.issue(&client).await.unwrap().access_token;
        clock.set(clock.now().plus(Duration::from_mins(1)));
        let living = house.issue().await;
        vec![
            ("73: expired to the microsecond", expired),
            ("73: revoked", revoked),
            ("74: its client was disabled since", disabled),
            ("74: its client was deleted since", deleted),
            ("74: its secret leaked since", leaked),
            ("73: of another issuer", foreign),
            ("73: cut", living[..78].to_owned()),
            ("73: without its prefix", living[4..].to_owned()),
            ("73: a secret", house.client.secret().to_owned()),
            ("73: malformed", "garbage".to_owned()),
            ("76: with spaces", "jta_+a%20b".to_owned()),
            ("76: like a refresh token", "8xLOxBtZp8.canary-~".to_owned()),
            ("76: long", "x".repeat(16_000)),
        ]
    };
    let living = house.issue().await;
    let serves = audiences(&["https://elsewhere.test"]);
    let other = node.register(NewClient { serves, ..new_client("other") }).await;
    let reader = basic(house.server.id(), house.server.secret());
    for wire in &house.wires {
        for (cause, token) in &tokens {
            let answer = ask(wire, &reader, &format!("token={token}")).await;
            assert_eq!(answer.body, INACTIVE, "{cause} ({})", wire.name());
        }
        let authorization = basic(other.id(), other.secret());
        let answer = ask(wire, &authorization, &format!("token={living}")).await;
        assert_eq!(answer.body, INACTIVE, "73: not for this caller ({})", wire.name());
        let seen: Value = ask(wire, &reader, &format!("token={living}")).await.json();
        assert_eq!(seen["active"], true, "{}", wire.name());
    }
}

/// 78: what is revoked at one node is inactive at each as soon as the revocation is answered.
#[tokio::test(flavor = "multi_thread")]
async fn a_revocation_is_true_everywhere_once_it_is_answered() {
    let house = House::new().await;
    let own = house.basic();
    for wire in &house.wires {
        let form = format!("token={}", house.issue().await);
        for other in &house.wires {
            assert_eq!(ask(other, &own, &form).await.json()["active"], true, "{}", other.name());
        }
        assert_eq!(wire.send(house.post(REVOKE, &form)).await.status, 200);
        for other in &house.wires {
            let context = format!("78: {}, revoked {}", other.name(), wire.name());
            assert_eq!(ask(other, &own, &form).await.body, INACTIVE, "{context}");
        }
    }
}
