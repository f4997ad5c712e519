//! What the libraries of other languages expect of a gRPC server: both versions of reflection,
//! health that can be watched, compression, and errors that say what is wrong.

use ::http::{Request as HttpRequest, uri::PathAndQuery};
use jeton::pb::{self, v1::IssueTokenRequest};
use prost::Message;
use tonic::{
    Code, Request, Status, client::Grpc, codec::CompressionEncoding::Gzip, transport::Channel,
};
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};

use crate::support::{
    Kind, TestNode,
    http::post_form,
    node::{Credentials, issue_request},
    wire::Wire,
};

async fn channel(node: &TestNode) -> Channel {
    let url = format!("http://{}", node.node.grpc_addr());
    Channel::from_shared(url).unwrap().connect().await.unwrap()
}

/// Asks one version of reflection for the list of services and for the file of each symbol. Returns
/// the list and the names of the files.
macro_rules! reflected {
    ($version:ident, $channel:expr, $symbols:expr) => {{
        use tonic_reflection::pb::$version::{
            ServerReflectionRequest, server_reflection_client::ServerReflectionClient,
            server_reflection_request::MessageRequest, server_reflection_response::MessageResponse,
        };
        let list = MessageRequest::ListServices(String::new());
        let symbols = $symbols.iter().map(|symbol| (*symbol).to_owned());
        let asked = [list].into_iter().chain(symbols.map(MessageRequest::FileContainingSymbol));
        let asked = asked.map(|message_request| ServerReflectionRequest {
            host: String::new(),
            message_request: Some(message_request),
        });
        let asked = tokio_stream::iter(asked.collect::<Vec<_>>());
        let mut client = ServerReflectionClient::new($channel).send_compressed(Gzip);
        let mut answers = client.server_reflection_info(asked).await.unwrap().into_inner();
        let (mut services, mut files) = (Vec::new(), Vec::new());
        while let Some(answer) = answers.message().await.unwrap() {
            match answer.message_response.unwrap() {
                MessageResponse::ListServicesResponse(list) => {
                    services.extend(list.service.into_iter().map(|service| service.name));
                }
                MessageResponse::FileDescriptorResponse(file) => {
                    let bytes = file.file_descriptor_proto[0].as_slice();
                    let file = prost_types::FileDescriptorProto::decode(bytes).unwrap();
                    files.push(file.name().to_owned());
                }
                other => panic!("{other:?}"),
            }
        }
        (services, files)
    }};
}

#[tokio::test(flavor = "multi_thread")]
async fn both_versions_of_reflection_serve_the_contract_and_the_details_of_errors() {
    let node = TestNode::start(Kind::Sqlite).await;
    let channel = channel(&node).await;
    let symbols = [
        "jeton.v1.TokenService",
        "google.rpc.ErrorInfo",
        "google.rpc.RetryInfo",
        "grpc.health.v1.Health",
    ];
    let services = [
        "jeton.v1.TokenService",
        "grpc.health.v1.Health",
        "grpc.reflection.v1.ServerReflection",
        "grpc.reflection.v1alpha.ServerReflection",
    ];
    let [contract, details] = ["jeton/v1/token_service.proto", "google/rpc/error_details.proto"];
    let both =
        [reflected!(v1, channel.clone(), symbols), reflected!(v1alpha, channel.clone(), symbols)];
    for (listed, files) in both {
        assert_eq!(listed, services);
        assert_eq!(files[..3], [contract, details, details]);
    }
}

/// Without it, `protoc-gen-go` refuses the contract.
#[test]
fn every_file_of_the_contract_names_its_go_package() {
    let files = prost_types::FileDescriptorSet::decode(pb::DESCRIPTORS).unwrap().file;
    let ours: Vec<_> = files.iter().filter(|file| file.package() == "jeton.v1").collect();
    assert_eq!(ours.len(), 4);
    for file in ours {
        assert_eq!(file.options.as_ref().unwrap().go_package(), "jeton/v1;jetonv1");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_of_an_unknown_service_says_so_and_stays_open_until_the_drain() {
    let node = TestNode::start(Kind::Sqlite).await;
    let mut health = HealthClient::new(channel(&node).await);
    let asked = HealthCheckRequest { service: "none.Such".to_owned() };
    let mut watch = health.watch(asked.clone()).await.unwrap().into_inner();
    let first = watch.message().await.unwrap().unwrap();
    assert_eq!(first.status(), ServingStatus::ServiceUnknown);
    assert_eq!(health.check(asked).await.unwrap_err().code(), Code::NotFound);
    let draining = tokio::spawn(node.node.drain());
    assert_eq!(watch.message().await.unwrap_err().code(), Code::Unavailable);
    draining.await.unwrap();
}

/// A request whose message is too large for its scope alone.
fn oversized(client: &Credentials) -> IssueTokenRequest {
    IssueTokenRequest { scopes: vec!["x".repeat(100 * 1024)], ..issue_request(client) }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_compressed_message_is_read_and_bounded_by_its_inflated_size() {
    let node = TestNode::start(Kind::Sqlite).await;
    let client = node.client("orders").await;
    let mut plain = node.grpc.clone();
    let mut compressing = node.grpc.clone().send_compressed(Gzip).accept_compressed(Gzip);
    let issued = compressing.issue_token(issue_request(&client)).await.unwrap();
    // The length of a compressed secret would say something about it.
    assert!(!issued.metadata().contains_key("grpc-encoding"));
    for (name, tokens) in [("inflated", &mut compressing), ("plain", &mut plain)] {
        let refused = tokens.issue_token(oversized(&client)).await.unwrap_err();
        assert_eq!(refused.code(), Code::ResourceExhausted, "{name}: {refused}");
        assert!(refused.message().contains("limit"), "{name}: {refused}");
    }
    let mut health = HealthClient::new(channel(&node).await).send_compressed(Gzip);
    let status = health.check(HealthCheckRequest::default()).await.unwrap().into_inner().status();
    assert_eq!(status, ServingStatus::Serving);
}

async fn call(channel: &Channel, path: &'static str) -> Status {
    let mut client = Grpc::new(channel.clone());
    client.ready().await.unwrap();
    let codec = pb::Codec::<HealthCheckRequest, HealthCheckRequest>::default();
    let request = Request::new(HealthCheckRequest::default());
    client.unary(request, PathAndQuery::from_static(path), codec).await.unwrap_err()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_method_is_unimplemented_and_the_message_says_where_to_look() {
    let node = TestNode::start(Kind::Sqlite).await;
    let channel = channel(&node).await;
    for path in [
        "/jeton.v1.TokenService/Nothing",
        "/grpc.health.v1.Health/Nothing",
        "/grpc.reflection.v1.ServerReflection/Nothing",
        "/none.Such/Nothing",
    ] {
        let refused = call(&channel, path).await;
        assert_eq!(refused.code(), Code::Unimplemented, "{path}: {refused}");
        assert!(refused.message().contains("no such method"), "{path}: {refused}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_form_at_the_grpc_port_is_an_unsupported_media_type() {
    let node = TestNode::start(Kind::Sqlite).await;
    for wire in Wire::both(node.node.grpc_addr(), None) {
        let form = HttpRequest::post("/oauth2/token")
            .header("content-type", "application/x-www-form-urlencoded")
            .body(b"grant_type=client_credentials".to_vec())
            .unwrap();
        let answer = wire.send(form).await;
        assert_eq!(answer.status, 415, "{}", wire.name());
        assert!(answer.body.starts_with(b"this listener serves gRPC alone"), "{}", wire.name());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_grant_is_explained_for_both_transports() {
    let node = TestNode::start(Kind::Sqlite).await;
    let client = node.client("orders").await;
    let without = IssueTokenRequest { grant: None, ..issue_request(&client) };
    let refused = node.grpc.clone().issue_token(without).await.unwrap_err();
    let http = node.node.http_addr();
    let answer = post_form(http, "/oauth2/token", client.id(), client.secret(), "").await.json();
    assert_eq!(answer["error_description"], refused.message());
    let expected = "set client_credentials, or over HTTP send grant_type=client_credentials";
    assert!(refused.message().ends_with(expected), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_fails_too_often_is_told_to_check_the_secret() {
    let node = TestNode::start(Kind::Sqlite).await;
    let client = node.client("orders").await;
    let stranger = Credentials { secret: node.client("other").await.secret, ..client };
    let refused = loop {
        let refused = node.issue(&stranger).await.unwrap_err();
        if refused.code() != Code::Unauthenticated {
            break refused;
        }
    };
    assert_eq!(refused.code(), Code::ResourceExhausted, "{refused}");
    assert!(refused.message().contains("check client id and secret"), "{refused}");
}
