//! Secrets of other systems authenticate, their weak hashes are left behind, and guesses at them
//! cost the other clients nothing.

use std::time::Duration;

use jeton::{
    domain::{ClientId, ClientState, StoredSecret},
    pb::v1::{
        ClientAuthentication, ClientCredentialsGrant, IssueTokenRequest, issue_token_request::Grant,
    },
    store::Retirement,
};
use serde_json::json;
use tokio::time::sleep;
use tonic::{Code, Status};

use super::{BCRYPT, PBKDF2, TEXT, file, import, row};
use crate::support::{Kind, TestNode, http};

const SOON: Duration = Duration::from_millis(10);
const WEAK: &str = "select count(*) from client_secret where foreign_hash not like '$argon2id$%'";

/// A node, and on its database these clients of Hydra.
async fn node_with(kind: Kind, rows: &[String]) -> TestNode {
    let node = TestNode::start(kind).await;
    let file = file(&node.database, "clients.jsonl", &rows.concat());
    let output = import(&node.database, &["--from", "hydra", &file]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    node.database.heard().await;
    node
}

/// The status of a token request over HTTP, with Basic credentials as RFC 6749 encodes them. After
/// a failure its source has to try again until a turn is free.
async fn by_http(node: &TestNode, client_id: &str, secret: &str) -> u16 {
    let encoded = |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
    let form = "grant_type=client_credentials";
    let (id, secret) = (encoded(client_id), encoded(secret));
    loop {
        let address = node.node.http_addr();
        let answer = http::post_form(address, "/oauth2/token", &id, &secret, form).await;
        if answer.status.as_u16() != 429 {
            return answer.status.as_u16();
        }
        sleep(SOON).await;
    }
}

/// The same over gRPC.
async fn by_grpc(node: &TestNode, client_id: &str, secret: &str) -> Result<String, Code> {
    loop {
        match once(node, client_id, secret).await.map_err(|status| status.code()) {
            Err(Code::ResourceExhausted) => sleep(SOON).await,
            answer => return answer,
        }
    }
}

async fn once(node: &TestNode, client_id: &str, secret: &str) -> Result<String, Status> {
    let request = IssueTokenRequest {
        grant: Some(Grant::ClientCredentials(ClientCredentialsGrant {})),
        client_authentication: Some(ClientAuthentication {
            client_id: client_id.to_owned(),
            client_secret: secret.to_owned(),
        }),
        ..Default::default()
    };
    Ok(node.grpc.clone().issue_token(request).await?.into_inner().access_token)
}

fn id(client_id: &str) -> ClientId {
    ClientId::parse(client_id).unwrap()
}

async fn secrets(node: &TestNode, client_id: &str) -> Vec<StoredSecret> {
    let (_, secrets) = node.registry.show_client(&id(client_id)).await.unwrap();
    secrets.into_iter().map(Result::unwrap).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_imported_secret_authenticates_under_every_client_id() {
    let ids = ["orders", "shop@example.com", "https://a.test:8443/v1", "urn:a:b", "a+b%20c="];
    for kind in Kind::BOTH {
        let rows: Vec<_> = ids.iter().map(|id| row(id, &json!({}))).collect();
        let node = node_with(kind, &rows).await;
        for client_id in ids {
            assert_eq!(by_http(&node, client_id, TEXT).await, 200, "{kind:?} {client_id}");
            by_grpc(&node, client_id, TEXT).await.unwrap();
            assert_eq!(
                by_grpc(&node, client_id, "something else").await,
                Err(Code::Unauthenticated)
            );
        }
        // Not under the id that a lenient server would read.
        assert_eq!(by_grpc(&node, "a b c=", TEXT).await, Err(Code::Unauthenticated));
        assert_eq!(by_grpc(&node, "nobody", TEXT).await, Err(Code::Unauthenticated));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_success_leaves_a_weak_hash_behind() {
    for kind in Kind::BOTH {
        let rows = [row("orders", &json!({})), row("old", &json!({ "client_secret": BCRYPT }))];
        let node = node_with(kind, &rows).await;
        let weak = async || node.database.number(WEAK).await;
        assert_eq!(by_http(&node, "orders", "something else").await, 401);
        assert_eq!(weak().await, 2, "a failure changes nothing");
        assert_eq!(by_http(&node, "orders", TEXT).await, 200);
        assert_eq!(weak().await, 1);
        assert_eq!(by_http(&node, "old", TEXT).await, 200);
        assert_eq!(weak().await, 0);
        node.database.heard().await;
        for client_id in ["orders", "old"] {
            assert_eq!(by_http(&node, client_id, TEXT).await, 200, "by the new hash");
        }
        let noted = "select count(*) from audit where action = 'secret.update' and actor = 'jeton'";
        assert_eq!(node.database.number(noted).await, 2);
        let shown = "select count(*) from audit where cast(detail as text) like '%$%'";
        assert_eq!(node.database.number(shown).await, 0, "no hash is in the trail");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_of_the_secrets_authenticates_until_it_is_retired_or_the_client_disabled() {
    for kind in Kind::BOTH {
        let fields = json!({ "client_secret": BCRYPT, "rotated_secrets": [PBKDF2] });
        let node = node_with(kind, &[row("orders", &fields)]).await;
        let token = by_grpc(&node, "orders", TEXT).await.unwrap();
        let server = node.resource_server("api").await;
        assert!(node.introspect(&server, &token).await.unwrap().active);
        // Both have the same text, so one goes on when the other is retired.
        for (left, secret) in [(1, 0), (0, 1)] {
            let secret = secrets(&node, "orders").await[secret].id;
            let retirement = Retirement::Retired;
            node.registry.retire_secret(&id("orders"), secret, retirement).await.unwrap();
            let outcome = by_grpc(&node, "orders", TEXT).await;
            assert_eq!(outcome.is_ok(), left > 0, "{kind:?} {outcome:?}");
        }
        assert!(node.introspect(&server, &token).await.unwrap().active);
        let leaked = secrets(&node, "orders").await;
        for secret in leaked {
            node.registry
                .retire_secret(&id("orders"), secret.id, Retirement::Leaked)
                .await
                .unwrap();
        }
        assert!(!node.introspect(&server, &token).await.unwrap().active);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disabled_client_is_refused_like_an_unknown_one() {
    for kind in Kind::BOTH {
        let node = node_with(kind, &[row("orders", &json!({}))]).await;
        by_grpc(&node, "orders", TEXT).await.unwrap();
        node.registry.set_client_state(&id("orders"), ClientState::Disabled).await.unwrap();
        assert_eq!(by_grpc(&node, "orders", TEXT).await, Err(Code::Unauthenticated));
        node.registry.set_client_state(&id("orders"), ClientState::Active).await.unwrap();
        by_grpc(&node, "orders", TEXT).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn guesses_are_locked_out_and_other_clients_are_answered() {
    for kind in Kind::BOTH {
        let node = node_with(kind, &[row("orders", &json!({})), row("stock", &json!({}))]).await;
        let native = node.client("native").await;
        by_grpc(&node, "orders", TEXT).await.unwrap();
        for number in 0.. {
            let guess = format!("guess number {number}");
            let refused = once(&node, "orders", &guess).await.unwrap_err();
            if refused.message().contains("too many failed authentications") {
                break;
            }
            assert!(number < 10_000, "{kind:?}: {refused}");
            sleep(SOON).await;
        }
        node.issue(&native).await.unwrap();
        by_grpc(&node, "stock", TEXT).await.unwrap();
        // What authenticated lately needs no hash, so it is not locked out.
        by_grpc(&node, "orders", TEXT).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_imported_secret_outlives_the_tag_key() {
    for kind in Kind::BOTH {
        let node = node_with(kind, &[row("orders", &json!({}))]).await;
        node.registry.rotate_tag_key().await.unwrap();
        node.registry.retire_tag_key().await.unwrap();
        by_grpc(&node, "orders", TEXT).await.unwrap();
    }
}
