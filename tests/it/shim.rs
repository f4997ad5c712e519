//! The shim before a node elsewhere: the same answers, and honest ones while the node is away.

use std::{net::SocketAddr, time::Duration};

use ::http::{HeaderMap, Request, header};
use jeton::{
    http,
    server::{Limits, Shim, ShimOptions},
};
use tokio::net::TcpListener;
use tonic::transport::Endpoint;

use crate::support::{
    Kind, TestNode, TestNodeOptions,
    binary::free_port,
    http::{Answer, FORM, basic, post_form, send},
};

async fn shim(upstream: SocketAddr, request_timeout: Duration, issuer: &str) -> Shim {
    let endpoint = Endpoint::from_shared(format!("http://{upstream}")).unwrap();
    let options = ShimOptions {
        transport: http::remote(endpoint.connect_timeout(Duration::from_secs(1)).connect_lazy()),
        http_addr: "127.0.0.1:0".parse().unwrap(),
        tls: None,
        issuer: Some(issuer.to_owned()),
        limits: Limits { request_timeout, ..Limits::default() },
    };
    Shim::start(options).await.unwrap()
}

/// What an answer says, without what differs between any two.
fn bytes(answer: &Answer) -> (u16, HeaderMap, String) {
    let mut headers = answer.headers.clone();
    headers.remove("date");
    (answer.status.as_u16(), headers, String::from_utf8_lossy(&answer.body).into_owned())
}

#[tokio::test]
async fn before_a_remote_node_the_shim_answers_as_in_process() {
    for kind in Kind::BOTH {
        let node = TestNode::start(kind).await;
        let (client, server) = (node.client("orders").await, node.resource_server("api").await);
        let shim = shim(node.node.grpc_addr(), Duration::from_secs(5), node.node.issuer()).await;
        let faces = [node.node.http_addr(), shim.http_addr()];
        let token = node.issue(&client).await.unwrap().access_token;
        let (id, secret) = (client.id(), client.secret());
        let introspect = format!("token={token}");
        let posted = [
            ("/oauth2/token", id, secret, ""),
            ("/oauth2/token", id, secret, "grant_type=password"),
            ("/oauth2/token", id, secret, "grant_type=client_credentials&scope=nope"),
            ("/oauth2/token", id, secret, "grant_type=client_credentials&scope=a&scope=b"),
            ("/oauth2/token", id, secret, "grant_type=client_credentials&client_secret=x"),
            ("/oauth2/token", id, "wrong", "grant_type=client_credentials"),
            ("/oauth2/token", server.id(), server.secret(), "grant_type=client_credentials"),
            ("/oauth2/token", id, secret, "%zz"),
            ("/oauth2/introspect", id, secret, &introspect),
            ("/oauth2/introspect", server.id(), server.secret(), &introspect),
            ("/oauth2/introspect", id, secret, "token=garbage"),
            ("/oauth2/introspect", id, secret, ""),
            ("/oauth2/revoke", server.id(), server.secret(), &introspect),
            ("/oauth2/revoke", id, secret, "token=garbage"),
            ("/nowhere", id, secret, ""),
        ];
        for (path, id, secret, form) in posted {
            let mut answers = Vec::new();
            for face in faces {
                answers.push(bytes(&post_form(face, path, id, secret, form).await));
            }
            assert_eq!(answers[0], answers[1], "{path} {form}");
        }
        let long = format!("scope={}", "x".repeat(20_000));
        let odd = [
            Request::get("/oauth2/token").body(vec![]),
            Request::get("/.well-known/oauth-authorization-server").body(vec![]),
            Request::post("/oauth2/token?client_secret=x").body(vec![]),
            Request::post("/oauth2/token").header(header::CONTENT_TYPE, "text/plain").body(vec![]),
            Request::post("/oauth2/token").header(header::CONTENT_TYPE, FORM).body(long.into()),
            Request::post("/oauth2/token")
                .header(header::CONTENT_TYPE, FORM)
                .header(header::AUTHORIZATION, basic(id, secret))
                .header(header::AUTHORIZATION, basic(id, secret))
                .body(b"grant_type=client_credentials".to_vec()),
        ];
        for request in odd {
            let request = request.unwrap();
            let mut answers = Vec::new();
            for face in faces {
                answers.push(bytes(&send(face, request.clone()).await));
            }
            assert_eq!(answers[0], answers[1], "{request:?}");
        }
        // And one that succeeds, whose token the other face knows.
        let grant = "grant_type=client_credentials";
        let issued = post_form(faces[1], "/oauth2/token", id, secret, grant).await.json();
        let token = issued["access_token"].as_str().unwrap();
        assert!(node.introspect(&client, token).await.unwrap().active);
        assert!(shim.drain().await);
    }
}

fn assert_unavailable(answer: &Answer) {
    assert_eq!(answer.status, 503);
    assert_eq!(answer.json()["error"], "temporarily_unavailable");
    assert!(!answer.header("retry-after").is_empty());
    assert_eq!(answer.header("cache-control"), "no-store");
}

#[tokio::test]
async fn a_node_that_is_away_or_silent_is_said_to_be_and_is_found_again() {
    // Nobody listens there.
    let dead = free_port();
    // This one takes connections and says nothing.
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    for upstream in [dead, silent.local_addr().unwrap()] {
        let shim = shim(upstream, Duration::from_millis(300), "http://x.test").await;
        for (path, form) in
            [("/oauth2/token", "grant_type=client_credentials"), ("/oauth2/introspect", "token=x")]
        {
            let answer = post_form(shim.http_addr(), path, "orders", "x", form).await;
            assert_unavailable(&answer);
        }
    }

    // A node starts where there was none: the shim goes on without a restart.
    let node = TestNode::start(Kind::Sqlite).await;
    let client = node.client("orders").await;
    let shim = shim(dead, Duration::from_secs(2), "http://x.test").await;
    let ask = async || {
        let form = "grant_type=client_credentials";
        post_form(shim.http_addr(), "/oauth2/token", client.id(), client.secret(), form).await
    };
    assert_unavailable(&ask().await);
    let mut options =
        crate::support::node::node_options(node.database.store(), &TestNodeOptions::default());
    options.grpc_addr = dead;
    let _second = jeton::server::Node::start(options).await.unwrap();
    while ask().await.status != 200 {}
}
