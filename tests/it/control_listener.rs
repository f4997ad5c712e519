//! The control listener: on a Unix socket the kernel says who calls, and the public listeners do not
//! know of it.

use std::{fs, os::unix::fs::PermissionsExt, path::Path, sync::Arc};

use hyper_util::rt::TokioIo;
use jeton::{
    domain::{Clock, SystemClock},
    net::tls::{self, Tls},
    node::ControlPlace,
    pb::v1::{
        ErrorReason, GetInstallationRequest, ListAuditEventsRequest, ListClientsRequest,
        RaiseNotBeforeRequest, client_service_client::ClientServiceClient,
        token_service_client::TokenServiceClient,
    },
};
use jeton_client::endpoint;
use rustix::process::geteuid;
use tokio::net::UnixStream;
use tonic::{
    Code, Request,
    transport::{Channel, Endpoint, Uri},
};
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};
use tower::service_fn;

use crate::support::{
    Database, Kind, TestNode, TestNodeOptions,
    binary::{Served, jeton},
    control::{Controlled, administrator, bearer, channel, options, why},
    everything,
    http::get,
    node::issue_request,
};

/// A connection to a Unix socket.
pub(crate) async fn socket(path: &Path) -> Channel {
    let path = path.to_owned();
    let connect = service_fn(move |_: Uri| {
        let path = path.clone();
        async move { Ok::<_, std::io::Error>(TokioIo::new(UnixStream::connect(path).await?)) }
    });
    Endpoint::from_static("http://localhost").connect_with_connector(connect).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_user_of_the_node_administers_through_its_socket_without_a_token() {
    for kind in Kind::BOTH {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("control.sock");
        let control = Some(ControlPlace::Socket(path.clone()));
        let options = TestNodeOptions { control, ..TestNodeOptions::default() };
        let node = TestNode::start_with(kind, options).await;
        assert_eq!(node.node.control(), Some(&*format!("unix:{}", path.display())));
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);

        let mut control = ClientServiceClient::new(socket(&path).await);
        control.raise_not_before(RaiseNotBeforeRequest {}).await.unwrap();
        let events = control.list_audit_events(ListAuditEventsRequest::default()).await.unwrap();
        let event = events.into_inner().events.pop().unwrap();
        assert_eq!(event.actor, format!("unix:uid={}", geteuid().as_raw()));
        assert_eq!(event.action, "installation.update");

        // A token decides, even here, so that a script can do less than its user.
        let reader = administrator(&node, "reader", &["jeton:read"]).await;
        let token = node.issue(&reader).await.unwrap().access_token;
        control.list_clients(bearer(&token, ListClientsRequest::default())).await.unwrap();
        let refused = control.raise_not_before(bearer(&token, RaiseNotBeforeRequest {})).await;
        assert_eq!(why(&refused.unwrap_err()).0, ErrorReason::NotPermitted);
        let refused = control.get_installation(bearer("x", GetInstallationRequest {})).await;
        assert_eq!(why(&refused.unwrap_err()).0, ErrorReason::InvalidToken);

        assert!(node.node.drain().await);
        assert!(!path.exists(), "the socket is removed");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_socket_that_a_killed_node_left_is_taken_over_and_nothing_else_is() {
    let database = Database::new(Kind::Sqlite).await;
    let path = database.dir.path().join("control.sock");
    let served = Served::start(&database, &[]);
    let mut control = ClientServiceClient::new(socket(&path).await);
    control.get_installation(GetInstallationRequest {}).await.unwrap();
    let refused_at = |path: &Path| {
        let served = jeton()
            .args(["serve", "--control-addr", &format!("unix:{}", path.display())])
            .args(["--grpc-addr", "127.0.0.1:0", "--http-addr", "127.0.0.1:0"])
            .args(["--probe-addr", "127.0.0.1:0", "--data-dir"])
            .arg(database.dir.path().join("second"))
            .output()
            .unwrap();
        assert!(!served.status.success());
        String::from_utf8(served.stderr).unwrap()
    };
    // A second node with a directory of its own wants the same socket.
    let told = refused_at(&path);
    assert!(told.contains("another node serves"), "{told}");
    // And one whose path was mistyped would replace a file.
    let file = database.dir.path().join("jeton.toml");
    fs::write(&file, "kept").unwrap();
    let told = refused_at(&file);
    assert!(told.contains("is no socket"), "{told}");
    assert_eq!(fs::read_to_string(&file).unwrap(), "kept");
    served.end();
    assert!(path.exists(), "it was killed");
    let _served = Served::start(&database, &[]);
    let mut control = ClientServiceClient::new(socket(&path).await);
    control.get_installation(GetInstallationRequest {}).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_listener_reports_health_and_describes_the_one_service_that_it_has() {
    let Controlled { node, .. } = Controlled::start(Kind::Sqlite).await;
    let service = "jeton.v1.ClientService";
    let mut health = HealthClient::new(channel(&node));
    let asked = HealthCheckRequest { service: service.to_owned() };
    health.check(asked.clone()).await.unwrap();
    let url = format!("http://{}", node.node.grpc_addr());
    let public = Channel::from_shared(url).unwrap().connect_lazy();
    let unknown = HealthClient::new(public.clone()).check(asked).await.unwrap_err();
    assert_eq!(unknown.code(), Code::NotFound);
    for (channel, is_control) in [(channel(&node), true), (public, false)] {
        let listed = reflected(channel).await;
        assert_eq!(listed.iter().any(|name| name == service), is_control, "{listed:?}");
        let tokens = listed.iter().any(|name| name == "jeton.v1.TokenService");
        assert_eq!(tokens, !is_control, "{listed:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn on_tcp_it_has_the_tls_of_the_other_listeners_and_does_without_on_this_machine_alone() {
    let database = Database::new(Kind::Sqlite).await;
    let exposed = Served::attempt(&database, &["--control-addr", "0.0.0.0:50099"]).err().unwrap();
    assert!(exposed.contains("--tls-cert"), "{exposed}");

    let files = tls::self_signed(database.dir.path(), &[], SystemClock.now().into()).await.unwrap();
    let ca = files.cert.clone();
    let tls = Some(Arc::new(Tls::load(files).unwrap()));
    let node = TestNode::on(database, TestNodeOptions { tls, ..options() }).await;
    let ops = administrator(&node, "ops", &["jeton:read"]).await;
    let secured = async |port: u16| {
        let url = format!("https://localhost:{port}");
        endpoint(&url, Some(&ca)).unwrap().connect().await.unwrap()
    };
    let mut tokens = TokenServiceClient::new(secured(node.node.grpc_addr().port()).await);
    let token = tokens.issue_token(issue_request(&ops)).await.unwrap().into_inner().access_token;
    everything::note_secrets_in(&token);
    let control = secured(node.node.control_addr().unwrap().port()).await;
    let mut control = ClientServiceClient::new(control);
    control.list_clients(bearer(&token, ListClientsRequest::default())).await.unwrap();
    let mut plain = ClientServiceClient::new(channel(&node));
    plain.list_clients(bearer(&token, ListClientsRequest::default())).await.unwrap_err();
}

/// The services that reflection lists.
async fn reflected(channel: Channel) -> Vec<String> {
    use tonic_reflection::pb::v1::{
        ServerReflectionRequest, server_reflection_client::ServerReflectionClient,
        server_reflection_request::MessageRequest, server_reflection_response::MessageResponse,
    };
    let list = ServerReflectionRequest {
        host: String::new(),
        message_request: Some(MessageRequest::ListServices(String::new())),
    };
    let requests = Request::new(tokio_stream::once(list));
    let mut client = ServerReflectionClient::new(channel);
    let mut answers = client.server_reflection_info(requests).await.unwrap().into_inner();
    let answer = answers.message().await.unwrap().unwrap().message_response.unwrap();
    let MessageResponse::ListServicesResponse(list) = answer else { panic!("{answer:?}") };
    list.service.into_iter().map(|service| service.name).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_is_in_the_access_log_and_in_the_metrics_of_its_listener() {
    let Controlled { node, ops, mut control } = Controlled::start(Kind::Sqlite).await;
    let token = node.issue(&ops).await.unwrap().access_token;
    control.list_clients(bearer(&token, ListClientsRequest::default())).await.unwrap();
    control.list_clients(ListClientsRequest::default()).await.unwrap_err();
    let page = get(node.node.probe_addr(), "/metrics").await.body;
    let page = String::from_utf8_lossy(&page).into_owned();
    for outcome in ["OK", "INVALID_TOKEN"] {
        let series = format!(
            "jeton_requests_total{{listener=\"control\",rpc=\"ListClients\",outcome=\"{outcome}\"}} 1"
        );
        assert!(page.contains(&series), "{series} in {page}");
    }
}
