//! What is answered: tokens, introspection, revocation, metadata (7.7 to 7.11).

use ::http::Request;
use serde_json::Value;

use super::{GRANT, House, INTROSPECT, REVOKE, TOKEN, assert_error};
use crate::support::http::basic;

/// 7.7, 7.9, 7.10
#[tokio::test]
async fn success_has_the_members_of_the_rfcs_and_no_others() {
    let house = House::new().await;
    for wire in &house.wires {
        let issued = wire.send(house.post(TOKEN, GRANT)).await;
        assert_eq!(issued.status, 200);
        assert_eq!(issued.header("content-type"), "application/json");
        assert_eq!(
            (issued.header("cache-control"), issued.header("pragma")),
            ("no-store", "no-cache")
        );
        let issued = issued.json();
        let members: Vec<_> = issued.as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(members, ["access_token", "expires_in", "scope", "token_type"], "62, 63");
        assert_eq!(
            (&issued["token_type"], &issued["expires_in"]),
            (&"Bearer".into(), &3600.into())
        );
        let token = issued["access_token"].as_str().unwrap();
        assert!(token.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b)), "65");

        let ask = async |form: &str, authorization: &str| {
            let answer = wire.send(house.bare(INTROSPECT, form, Some(authorization))).await;
            assert_eq!(answer.status, 200);
            String::from_utf8(answer.body.to_vec()).unwrap()
        };
        let (own, server) = (house.basic(), basic(house.server.id(), house.server.secret()));
        let first = ask(&format!("token={token}"), &server).await;
        for hint in ["access_token", "refresh_token", "canary"] {
            let hinted = format!("token={token}&token_type_hint={hint}");
            assert_eq!(ask(&hinted, &server).await, first, "72");
        }
        let seen: Value = serde_json::from_str(&first).unwrap();
        assert_eq!((&seen["active"], &seen["scope"]), (&true.into(), &"read write".into()), "75");
        assert_eq!((&seen["sub"], &seen["client_id"]), (&"orders".into(), &"orders".into()));
        assert_eq!(seen["exp"].as_i64().unwrap() - seen["iat"].as_i64().unwrap(), 3600);
        for name in ["aud", "iss", "jti", "token_type"] {
            assert!(seen[name].is_string(), "{name}: {seen}");
        }
        let long = "x".repeat(15_000);
        for other in ["garbage", "jta_", &token[1..], &long, "a%20b", house.client.secret()] {
            assert_eq!(ask(&format!("token={other}"), &own).await, r#"{"active":false}"#, "73, 76");
        }
        for (path, form) in [(INTROSPECT, ""), (INTROSPECT, "token="), (REVOKE, "x=y")] {
            let answer = wire.send(house.post(path, form)).await;
            assert_error(&answer, "invalid_request", "71");
        }

        let revoke = async |form: &str, authorization: &str| {
            wire.send(house.bare(REVOKE, form, Some(authorization))).await
        };
        let form = format!("token={token}&token_type_hint=canary");
        let refused = revoke(&form, &server).await;
        assert_eq!(refused.status, 400, "81");
        assert_error(&refused, "invalid_request", "81");
        assert_eq!(ask(&format!("token={token}"), &own).await, first, "81: it stays active");
        for form in [&*form, &*form, "token=garbage"] {
            let answer = revoke(form, &own).await;
            assert_eq!((answer.status.as_u16(), answer.body.len()), (200, 0), "80, 82, 84");
            assert_eq!(answer.header("cache-control"), "no-store");
        }
        assert_eq!(ask(&format!("token={token}"), &own).await, r#"{"active":false}"#);
    }
}

/// 7.11: every method that the document names works, and the issuer is that of the tokens.
#[tokio::test]
async fn the_metadata_is_true() {
    let house = House::new().await;
    for wire in &house.wires {
        let path = "/.well-known/oauth-authorization-server";
        let answer = wire.send(Request::get(path).body(Vec::new()).unwrap()).await;
        assert_eq!(
            (answer.status.as_u16(), answer.header("content-type")),
            (200, "application/json")
        );
        let document = answer.json();
        assert_eq!(document["grant_types_supported"], serde_json::json!(["client_credentials"]));
        assert_eq!(document["response_types_supported"], serde_json::json!([]));
        let issuer = document["issuer"].as_str().unwrap();
        let answer = wire.send(house.post(TOKEN, GRANT)).await.json();
        let form = format!("token={}", answer["access_token"].as_str().unwrap());
        for (name, form) in [("token", GRANT), ("introspection", &form), ("revocation", &form)] {
            let endpoint = document[format!("{name}_endpoint")].as_str().unwrap();
            let path = endpoint.strip_prefix(issuer).unwrap();
            let methods = document[format!("{name}_endpoint_auth_methods_supported")].as_array();
            for method in methods.unwrap() {
                let answer = match method.as_str().unwrap() {
                    "client_secret_basic" => wire.send(house.post(path, form)).await,
                    "client_secret_post" => {
                        let (id, secret) = (house.client.id(), house.client.secret());
                        let form = format!("{form}&client_id={id}&client_secret={secret}");
                        wire.send(house.bare(path, &form, None)).await
                    }
                    other => panic!("{other} is not tried"),
                };
                assert_eq!(answer.status, 200, "{name} by {method}");
                if name == "introspection" {
                    assert_eq!(answer.json()["iss"], issuer);
                }
            }
        }
    }
}
