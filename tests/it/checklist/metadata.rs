//! What the service says of itself (7.11).

use ::http::Request;
use serde_json::json;

use super::{GRANT, House, METADATA, TOKEN, post};

/// 7, 85–87: every method that the document names works, no endpoint has a query or a fragment, and
/// the issuer is that of the tokens.
#[tokio::test(flavor = "multi_thread")]
async fn the_metadata_is_true() {
    let house = House::new().await;
    let (id, secret) = (house.client.id(), house.client.secret());
    for wire in &house.wires {
        let answer = wire.send(Request::get(METADATA).body(Vec::new()).unwrap()).await;
        assert_eq!(answer.status, 200, "85: {}", wire.name());
        assert_eq!(answer.header("content-type"), "application/json", "85: its type");
        assert_eq!(answer.header("cache-control"), "public, max-age=300", "85: it may be kept");
        let document = answer.json();
        assert_eq!(document["grant_types_supported"], json!(["client_credentials"]), "87: grants");
        assert_eq!(document["response_types_supported"], json!([]), "87: response types");
        let issuer = document["issuer"].as_str().unwrap();
        assert!(!issuer.contains(['?', '#']) && !issuer.ends_with('/'), "86: {issuer}");
        let token = wire.send(house.post(TOKEN, GRANT)).await.json();
        let form = format!("token={}", token["access_token"].as_str().unwrap());
        for (name, form) in [("token", GRANT), ("introspection", &form), ("revocation", &form)] {
            let endpoint = document[format!("{name}_endpoint")].as_str().unwrap();
            assert!(!endpoint.contains(['?', '#']), "7: {endpoint}");
            let path = endpoint.strip_prefix(issuer).unwrap();
            let methods = document[format!("{name}_endpoint_auth_methods_supported")].as_array();
            for method in methods.unwrap() {
                let answer = match method.as_str().unwrap() {
                    "client_secret_basic" => wire.send(house.post(path, form)).await,
                    "client_secret_post" => {
                        let form = format!("{form}&client_id={id}&client_secret={secret}");
                        wire.send(post(path, &form, None)).await
                    }
                    other => panic!("{other} is not tried"),
                };
                assert_eq!(answer.status, 200, "87: {name} by {method}");
                if name == "introspection" {
                    assert_eq!(answer.json()["iss"], issuer, "86: byte for byte");
                }
            }
        }
    }
}
