//! Issue, introspect, revoke: over both faces, on both databases.

use std::{sync::Arc, time::Duration};

use jeton::{
    domain::{ClientState, Clock, ManualClock, SystemClock, TokenLifetime},
    pb::v1::IntrospectTokenResponse,
    registry::{NewClient, NewSecret},
    store::Retirement,
};
use serde_json::json;

use crate::support::{
    Kind, TestNode, TestNodeOptions,
    http::{assert_expires_in, post_form},
    node::{Credentials, audiences, issue_request, new_client},
};

#[tokio::test(flavor = "multi_thread")]
async fn a_token_issued_over_either_face_is_introspected_over_both() {
    for kind in Kind::BOTH {
        let node = TestNode::start(kind).await;
        let (client, server) = (node.client("orders").await, node.resource_server("api").await);
        let http = node.node.http_addr();

        let over_grpc = node.issue(&client).await.unwrap();
        assert_eq!(
            (over_grpc.token_type.as_str(), over_grpc.scopes.join(" ")),
            ("Bearer", "read write".into())
        );
        assert_expires_in(over_grpc.expires_in.unwrap().seconds, 3600);
        let form = "grant_type=client_credentials";
        let answer = post_form(http, "/oauth2/token", client.id(), client.secret(), form).await;
        assert_eq!(answer.status, 200, "{kind:?}: {:?}", answer.body);
        let issued = answer.json();
        let members: Vec<_> = issued.as_object().unwrap().keys().cloned().collect();
        assert_eq!(members, ["access_token", "expires_in", "scope", "token_type"]);
        assert_expires_in(issued["expires_in"].as_i64().unwrap(), 3600);

        for token in [over_grpc.access_token.as_str(), issued["access_token"].as_str().unwrap()] {
            let seen = node.introspect(&server, token).await.unwrap();
            assert!(seen.active);
            assert_eq!((seen.client_id.as_str(), seen.subject.as_str()), ("orders", "orders"));
            assert_eq!(seen.audiences, ["https://api.test"]);
            assert_eq!(seen.issuer, node.node.issuer());
            let form = format!("token={token}&token_type_hint=refresh_token");
            let answer =
                post_form(http, "/oauth2/introspect", server.id(), server.secret(), &form).await;
            let exp = seen.expire_time.unwrap().seconds;
            let iat = seen.issue_time.unwrap().seconds;
            assert_eq!(
                answer.json(),
                json!({
                    "active": true, "client_id": "orders", "sub": "orders", "scope": "read write",
                    "aud": "https://api.test", "iss": node.node.issuer(), "jti": seen.token_id,
                    "token_type": "Bearer", "exp": exp, "iat": iat, "nbf": iat,
                })
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn scopes_and_resources_are_narrowed_to_what_is_asked_and_registered() {
    for kind in Kind::BOTH {
        let node = TestNode::start(kind).await;
        let client = node
            .register(NewClient {
                audiences: audiences(&["https://api.test", "https://other.test"]),
                ..new_client("orders")
            })
            .await;
        let mut request = issue_request(&client);
        request.scopes = vec!["write".into(), "write".into()];
        request.resources = vec!["https://other.test".into()];
        let issued = node.grpc.clone().issue_token(request).await.unwrap().into_inner();
        assert_eq!(issued.scopes, ["write"]);
        let seen = node.introspect(&client, &issued.access_token).await.unwrap();
        assert_eq!(
            (seen.scopes, seen.audiences),
            (vec!["write".into()], vec!["https://other.test".into()])
        );
    }
}

/// Each of these ends a token, and each reads like a token that never was.
#[tokio::test(flavor = "multi_thread")]
async fn whatever_ends_a_token_the_answer_is_the_same_bytes() {
    for kind in Kind::BOTH {
        let clock = Arc::new(ManualClock::at(SystemClock.now()));
        let options =
            TestNodeOptions { clock: Arc::<ManualClock>::clone(&clock), ..Default::default() };
        let node = TestNode::start_with(kind, options).await;
        let server = node.resource_server("api").await;
        let stranger = node.client("stranger").await;
        let lifetime = TokenLifetime::from_seconds(60).unwrap();
        let new = |name| NewClient { token_lifetime: lifetime, ..new_client(name) };

        let revoked = node.register(new("revoked")).await;
        let revoked_token = node.issue(&revoked).await.unwrap().access_token;
        let disabled = node.register(new("disabled")).await;
        let disabled_token = node.issue(&disabled).await.unwrap().access_token;
        let deleted = node.register(new("deleted")).await;
        let deleted_token = node.issue(&deleted).await.unwrap().access_token;
        let leaked = node.register(new("leaked")).await;
        let leaked_token = node.issue(&leaked).await.unwrap().access_token;
        let living_token = node.issue(&stranger).await.unwrap().access_token;

        node.revoke(&revoked, &revoked_token).await.unwrap();
        node.registry
            .set_client_state(&disabled.client.client_id, ClientState::Disabled)
            .await
            .unwrap();
        node.registry.delete_client(&deleted.client.client_id).await.unwrap();
        node.register(new("deleted")).await;
        node.registry
            .retire_secret(&leaked.client.client_id, leaked.secret.id(), Retirement::Leaked)
            .await
            .unwrap();

        let truncated = &living_token[..living_token.len() - 1];
        let nul = "jta_%00".to_owned();
        let tokens = [
            &revoked_token,
            &disabled_token,
            &deleted_token,
            &leaked_token,
            truncated,
            "garbage",
            &nul,
            server.secret(),
            &"x".repeat(9_000),
        ];
        assert!(node.introspect(&server, &living_token).await.unwrap().active);
        for token in tokens {
            inactive(&node, &server, token).await;
        }
        // For another resource server a living token reads the same.
        let other = node
            .register(NewClient { serves: audiences(&["https://elsewhere.test"]), ..new("other") })
            .await;
        inactive(&node, &other, &living_token).await;
        assert!(node.introspect(&stranger, &living_token).await.unwrap().active, "its own");

        // Expiry has no leeway: the last microsecond counts, the next does not.
        let issued_at = clock.now();
        let token = node.issue(&other).await.unwrap();
        let lifetime = Duration::from_mins(1);
        assert_eq!(token.expires_in.unwrap().seconds, 60);
        clock.set(issued_at.plus(lifetime).minus(Duration::from_micros(1)));
        let seen = node.introspect(&other, &token.access_token).await.unwrap();
        assert!(seen.active);
        assert_eq!(seen.expire_time.unwrap().seconds - seen.issue_time.unwrap().seconds, 60);
        clock.set(issued_at.plus(lifetime));
        inactive(&node, &other, &token.access_token).await;
    }
}

async fn inactive(node: &TestNode, caller: &Credentials, token: &str) {
    let seen = node.introspect(caller, token).await.unwrap();
    assert_eq!(seen, IntrospectTokenResponse::default(), "{token}");
    let form = format!("token={token}");
    let (http, path) = (node.node.http_addr(), "/oauth2/introspect");
    let answer = post_form(http, path, caller.id(), caller.secret(), &form).await;
    if token.contains('%') {
        assert_eq!(answer.status, 400, "a control character is no token at all");
    } else {
        assert_eq!(answer.body.as_ref(), br#"{"active":false}"#, "{token}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disabled_client_that_is_enabled_again_has_its_tokens_back() {
    for kind in Kind::BOTH {
        let node = TestNode::start(kind).await;
        let client = node.client("orders").await;
        let server = node.resource_server("api").await;
        let token = node.issue(&client).await.unwrap().access_token;
        let name = &client.client.client_id;
        node.registry.set_client_state(name, ClientState::Disabled).await.unwrap();
        assert!(!node.introspect(&server, &token).await.unwrap().active);
        assert!(node.issue(&client).await.is_err());
        node.registry.set_client_state(name, ClientState::Active).await.unwrap();
        assert!(node.introspect(&server, &token).await.unwrap().active);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn revocation_is_for_the_owner_and_happens_once_or_twice_alike() {
    for kind in Kind::BOTH {
        let node = TestNode::start(kind).await;
        let (owner, thief) = (node.client("owner").await, node.client("thief").await);
        let token = node.issue(&owner).await.unwrap().access_token;
        // As for a token that does not exist.
        node.revoke(&thief, &token).await.unwrap();
        assert!(node.introspect(&owner, &token).await.unwrap().active, "{kind:?}");
        node.revoke(&thief, "garbage").await.unwrap();

        let (http, form) = (node.node.http_addr(), format!("token={token}"));
        for _ in 0..2 {
            let answer = post_form(http, "/oauth2/revoke", owner.id(), owner.secret(), &form).await;
            assert_eq!((answer.status.as_u16(), &*answer.body), (200, &b"{}"[..]));
            assert!(!node.introspect(&owner, &token).await.unwrap().active);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_secrets_live_side_by_side_and_end_one_by_one() {
    for kind in Kind::BOTH {
        let clock = Arc::new(ManualClock::at(SystemClock.now()));
        let options =
            TestNodeOptions { clock: Arc::<ManualClock>::clone(&clock), ..Default::default() };
        let node = TestNode::start_with(kind, options).await;
        let first = node.client("orders").await;
        let name = &first.client.client_id;
        let end = clock.now().plus(Duration::from_mins(1));
        let new = NewSecret { label: "second".into(), expires_at: Some(end) };
        let (_, secret) = node.registry.add_secret(name, new).await.unwrap();
        let second = Credentials { client: first.client.clone(), secret };
        let token = node.issue(&first).await.unwrap().access_token;
        node.issue(&second).await.unwrap();

        node.registry.retire_secret(name, first.secret.id(), Retirement::Retired).await.unwrap();
        assert!(node.issue(&first).await.is_err(), "retired");
        assert!(node.introspect(&second, &token).await.unwrap().active, "its token lives on");
        clock.set(end);
        assert!(node.issue(&second).await.is_err(), "expired");
    }
}
