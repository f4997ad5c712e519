//! The source that a node finds is the one that it logs for a refused secret.

use std::net::SocketAddr;

use jeton::pb::v1::{
    ClientAuthentication, ClientCredentialsGrant, IssueTokenRequest, issue_token_request::Grant,
    token_service_client::TokenServiceClient,
};
use tonic::Request;

use super::{
    CHEAP, PROXY, STRANGER, Secrets, TRUSTED, Way, ask, logged_source, request, say, status,
};
use crate::support::{
    http::{FORM, basic},
    wire::Wire,
};

/// Secrets of other clients, so that the refusal of each is logged, which happens at most once a
/// second.
fn foreign<const N: usize>(secrets: &Secrets) -> [String; N] {
    std::array::from_fn(|number| Secrets::create(&secrets.database, &format!("other-{number}")))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trusted_proxy_names_the_source_and_nobody_else_does() {
    let secrets = Secrets::new().await;
    let node = secrets.serve(&[&CHEAP, &TRUSTED]);
    let rows = [
        (PROXY, "X-Forwarded-For: 1.1.1.1, 192.0.2.7\r\n", "192.0.2.7"),
        (PROXY, "X-Forwarded-For: 1.1.1.1\r\nX-Forwarded-For: 192.0.2.7\r\n", "192.0.2.7"),
        (PROXY, "X-Forwarded-For: 192.0.2.7, 127.0.0.9\r\n", "192.0.2.7"),
        (PROXY, "Forwarded: for=\"[2001:db8:1:2::3]:80\";proto=https\r\n", "2001:db8:1:2::"),
        (PROXY, "Forwarded: for=\", for=192.0.2.7\r\n", "192.0.2.7"),
        (PROXY, "Forwarded: for=192.0.2.7, for=unknown\r\n", PROXY),
        (PROXY, "Forwarded: for=192.0.2.7;for=192.0.2.7\r\n", PROXY),
        (PROXY, "X-Forwarded-For: \r\n", PROXY),
        (PROXY, "Forwarded: for=192.0.2.7\r\nX-Forwarded-For: 192.0.2.8\r\n", PROXY),
        (PROXY, "", PROXY),
        (STRANGER, "X-Forwarded-For: 192.0.2.7\r\n", STRANGER),
        (STRANGER, "Forwarded: for=192.0.2.7\r\nX-Real-IP: 192.0.2.7\r\n", STRANGER),
    ];
    let foreign = foreign::<12>(&secrets);
    for ((from, headers, expected), secret) in rows.into_iter().zip(foreign) {
        let said = say(from, node.http, request("victim", &secret, headers).as_bytes()).await;
        assert_eq!(status(&said), 401, "{said}");
        assert_eq!(logged_source(&node), expected, "{from} {headers}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_source_is_the_same_over_http_2_and_grpc() {
    let secrets = Secrets::new().await;
    // The connection of the gRPC client comes from 127.0.0.1.
    let node = secrets.serve(&[&CHEAP, &["--trusted-proxy", "127.0.0.1,127.0.0.9"]]);
    let untrusting = secrets.serve(&[&CHEAP]);
    let foreign = foreign::<4>(&secrets);
    for (secret, (node, expected)) in
        foreign.iter().zip([(&node, "192.0.2.7"), (&untrusting, "127.0.0.1")])
    {
        let request = ::http::Request::post("/oauth2/token")
            .header("content-type", FORM)
            .header("authorization", basic("victim", secret))
            .header("x-forwarded-for", "1.1.1.1, 192.0.2.7")
            .body(b"grant_type=client_credentials".to_vec())
            .unwrap();
        let [_, h2] = Wire::both(node.http, None);
        assert_eq!(h2.send(request).await.status, 401);
        assert_eq!(logged_source(node), expected);
    }
    for (secret, (node, expected)) in
        foreign[2..].iter().zip([(&node, "192.0.2.7"), (&untrusting, "127.0.0.1")])
    {
        call(node.grpc, secret, "for=1.1.1.1, for=192.0.2.7").await;
        assert_eq!(logged_source(node), expected);
    }
}

async fn call(grpc: SocketAddr, secret: &str, forwarded: &'static str) {
    let mut client = TokenServiceClient::connect(format!("http://{grpc}")).await.unwrap();
    let mut request = Request::new(IssueTokenRequest {
        grant: Some(Grant::ClientCredentials(ClientCredentialsGrant {})),
        client_authentication: Some(ClientAuthentication {
            client_id: "victim".to_owned(),
            client_secret: secret.to_owned(),
        }),
        ..IssueTokenRequest::default()
    });
    request.metadata_mut().insert("forwarded", forwarded.parse().unwrap());
    client.issue_token(request).await.unwrap_err();
}

/// The address of a caller behind the PROXY protocol may be a trusted proxy itself.
#[tokio::test(flavor = "multi_thread")]
async fn both_ways_to_name_a_source_work_together() {
    let secrets = Secrets::new().await;
    let flags = ["--proxy-protocol", PROXY, "--trusted-proxy", "10.1.0.0/16"];
    let node = secrets.serve(&[&CHEAP, &flags]);
    let [one, other] = foreign::<2>(&secrets);
    let inner = request("victim", &one, "X-Forwarded-For: 192.0.2.7\r\n");
    let bytes = [super::proxy_header([10, 1, 2, 3].into()), inner.into_bytes()].concat();
    assert_eq!(status(&say(PROXY, node.http, &bytes).await), 401);
    assert_eq!(logged_source(&node), "192.0.2.7");
    ask(Way::Protocol, "192.0.2.8", node.http, "victim", &other).await;
    assert_eq!(logged_source(&node), "192.0.2.8");
}
