//! Programs that people use: curl with the two requests that it all started from, the `oauth2`
//! crate, a generated gRPC client over TLS, and what health checkers and grpcurl ask.

use std::{path::Path, process::Command};

use ::http::Request;
use jeton::pb::v1::{
    ClientAuthentication, ClientCredentialsGrant, IssueTokenRequest, issue_token_request::Grant,
    token_service_client::TokenServiceClient,
};
use oauth2::{
    AccessToken, AsyncHttpClient, AuthType, ClientId, ClientSecret, HttpRequest, HttpResponse,
    IntrospectionUrl, RevocationUrl, Scope, TokenIntrospectionResponse, TokenResponse, TokenUrl,
    basic::BasicClient,
};
use serde_json::Value;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint};
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};
use tonic_reflection::pb::v1::{
    ServerReflectionRequest, server_reflection_client::ServerReflectionClient,
    server_reflection_request::MessageRequest, server_reflection_response::MessageResponse,
};

use crate::support::{
    Database, Kind, TestNode,
    binary::{Served, run_json},
    http::{assert_expires_in, basic, send},
};

/// Runs a line as a person types it.
fn shell(line: &str) -> String {
    let output = Command::new("sh").args(["-c", line]).output().unwrap();
    assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn assert_token_response(answer: &str) {
    let body: Value = serde_json::from_str(answer).unwrap();
    assert_eq!(body["token_type"], "Bearer");
    assert_expires_in(body["expires_in"].as_i64().unwrap(), 3600);
    assert!(body["access_token"].as_str().unwrap().starts_with("jta_"));
    assert!(!answer.contains("refresh"), "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn both_requests_of_the_page_are_answered_over_a_self_signed_certificate() {
    for kind in Kind::BOTH {
        let database = Database::ready(kind).await;
        let created =
            run_json(&["client", "create", "--client-id", "orders", "--scope", "a"], &database);
        let served = Served::start(&database, &["--tls-self-signed"]);
        let (id, secret) = ("orders", created["client_secret"].as_str().unwrap());
        let pair = basic(id, secret);
        let form = r#"-H "Content-Type:application/x-www-form-urlencoded""#;
        let grant = r#"-k -d "grant_type=client_credentials""#;
        for host in ["localhost", "127.0.0.1"] {
            let endpoint = format!("https://{host}:{}/oauth2/token", served.http.port());
            for (version, spoken) in [("", "2"), ("--http1.1", "1.1"), ("--http2", "2")] {
                let lines = [
                    format!(
                        "curl -v -X POST -H \"Authorization: {pair}\" {grant} {form} {endpoint}"
                    ),
                    format!("curl -u {id}:{secret} {grant} {form} {endpoint}"),
                ];
                for line in lines {
                    let seen = "-w ' %{http_code} %{http_version}'";
                    let answer = shell(&format!("{line} {version} {seen}"));
                    let (answer, http_version) = answer.rsplit_once(' ').unwrap();
                    let (answer, status) = answer.rsplit_once(' ').unwrap();
                    assert_eq!((status, http_version), ("200", spoken), "{line} {version}");
                    assert_token_response(answer);
                }
            }
        }
    }
}

/// The transport of the `oauth2` crate, over our plain HTTP client.
struct Plain(std::net::SocketAddr);

impl<'c> AsyncHttpClient<'c> for Plain {
    type Error = std::io::Error;
    type Future = std::pin::Pin<
        Box<dyn Future<Output = Result<HttpResponse, Self::Error>> + Send + Sync + 'c>,
    >;

    fn call(&'c self, request: HttpRequest) -> Self::Future {
        // The future must be `Sync`, which a connection of hyper is not.
        let address = self.0;
        let answered = tokio::spawn(async move {
            let (parts, body) = request.into_parts();
            let mut plain = Request::new(body);
            *plain.method_mut() = parts.method;
            *plain.uri_mut() = parts.uri.path().parse().unwrap();
            *plain.headers_mut() = parts.headers;
            let answer = send(address, plain).await;
            let mut response = HttpResponse::new(answer.body.to_vec());
            *response.status_mut() = answer.status;
            *response.headers_mut() = answer.headers;
            response
        });
        Box::pin(async move { answered.await.map_err(std::io::Error::other) })
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_oauth2_crate_gets_introspects_and_revokes_a_token() {
    for kind in Kind::BOTH {
        let node = TestNode::start(kind).await;
        let client = node.client("orders.v2~x").await;
        let url = |path: &str| format!("http://{}{path}", node.node.http_addr());
        for auth_type in [AuthType::BasicAuth, AuthType::RequestBody] {
            let oauth = BasicClient::new(ClientId::new(client.id().to_owned()))
                .set_client_secret(ClientSecret::new(client.secret().to_owned()))
                .set_auth_type(auth_type)
                .set_token_uri(TokenUrl::new(url("/oauth2/token")).unwrap())
                .set_introspection_url(IntrospectionUrl::new(url("/oauth2/introspect")).unwrap())
                .set_revocation_url(
                    RevocationUrl::new("https://localhost/oauth2/revoke".into()).unwrap(),
                );
            let http = Plain(node.node.http_addr());
            let issued = oauth
                .exchange_client_credentials()
                .add_scope(Scope::new("read".to_owned()))
                .request_async(&http)
                .await
                .unwrap();
            assert_eq!(issued.scopes().unwrap(), &vec![Scope::new("read".to_owned())]);
            assert_expires_in(issued.expires_in().unwrap().as_secs().cast_signed(), 3600);
            assert!(issued.refresh_token().is_none());

            let token: &AccessToken = issued.access_token();
            let seen = oauth.introspect(token).request_async(&http).await.unwrap();
            assert!(seen.active());
            assert_eq!(seen.client_id().unwrap().as_str(), client.id());
            oauth.revoke_token(token.into()).unwrap().request_async(&http).await.unwrap();
            let seen = oauth.introspect(token).request_async(&http).await.unwrap();
            assert!(!seen.active());
        }
    }
}

async fn channel(served: &Served, directory: &Path) -> Channel {
    let pem = std::fs::read(directory.join("tls/cert.pem")).unwrap();
    let tls = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(pem));
    let url = format!("https://localhost:{}", served.grpc.port());
    Endpoint::from_shared(url).unwrap().tls_config(tls).unwrap().connect().await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn grpc_over_tls_serves_tokens_health_and_reflection() {
    let database = Database::ready(Kind::Sqlite).await;
    let created = run_json(&["client", "create", "--client-id", "orders"], &database);
    let served = Served::start(&database, &["--tls-self-signed"]);
    let channel = channel(&served, database.dir.path()).await;

    let authentication = ClientAuthentication {
        client_id: "orders".to_owned(),
        client_secret: created["client_secret"].as_str().unwrap().to_owned(),
    };
    let asked = IssueTokenRequest {
        grant: Some(Grant::ClientCredentials(ClientCredentialsGrant {})),
        client_authentication: Some(authentication),
        ..IssueTokenRequest::default()
    };
    let issued = TokenServiceClient::new(channel.clone()).issue_token(asked).await.unwrap();
    assert_eq!(issued.into_inner().token_type, "Bearer");

    let mut health = HealthClient::new(channel.clone());
    for service in ["", "jeton.v1.TokenService"] {
        let asked = HealthCheckRequest { service: service.to_owned() };
        let status = health.check(asked).await.unwrap().into_inner().status();
        assert_eq!(status, ServingStatus::Serving, "{service}");
    }

    let asked = |message_request| ServerReflectionRequest {
        host: String::new(),
        message_request: Some(message_request),
    };
    let questions = [
        asked(MessageRequest::ListServices(String::new())),
        asked(MessageRequest::FileContainingSymbol("jeton.v1.TokenService".to_owned())),
    ];
    let mut answers = ServerReflectionClient::new(channel)
        .server_reflection_info(tokio_stream::iter(questions))
        .await
        .unwrap()
        .into_inner();
    let Some(MessageResponse::ListServicesResponse(list)) =
        answers.message().await.unwrap().unwrap().message_response
    else {
        panic!("reflection lists services")
    };
    let names: Vec<_> = list.service.into_iter().map(|service| service.name).collect();
    for name in ["jeton.v1.TokenService", "grpc.health.v1.Health"] {
        assert!(names.iter().any(|listed| listed == name), "{names:?}");
    }
    let Some(MessageResponse::FileDescriptorResponse(file)) =
        answers.message().await.unwrap().unwrap().message_response
    else {
        panic!("reflection describes the service")
    };
    assert!(!file.file_descriptor_proto.is_empty());
}

/// The lines that `jeton dev` prints are run as they stand.
#[tokio::test(flavor = "multi_thread")]
async fn the_lines_that_dev_prints_work_when_they_are_pasted() {
    let database = Database::new(Kind::Sqlite).await;
    let dev = Served::dev(&database);
    let lines: Vec<_> =
        dev.said.lines().map(str::trim).filter(|line| line.starts_with("curl ")).collect();
    assert_eq!(lines.len(), 3, "{}", dev.said);
    assert_token_response(&shell(lines[0]));
    assert_token_response(&shell(lines[1]));
    let introspected: Value = serde_json::from_str(&shell(lines[2])).unwrap();
    assert_eq!(
        (&introspected["active"], &introspected["client_id"]),
        (&true.into(), &"dev-client".into())
    );
    assert!(dev.said.contains("grpcurl -insecure"), "{}", dev.said);

    // What a program needs beyond a trial: the certificate to trust, and where the metadata is.
    let told = |name: &str| {
        let line = dev.said.lines().find_map(|line| line.strip_prefix(name));
        line.unwrap_or_else(|| panic!("{}", dev.said)).trim().to_owned()
    };
    let certificate = told("Certificate:");
    let (certificate, _) = certificate.split_once(" (").unwrap();
    let metadata = shell(&format!("curl -s --cacert {certificate} {}", told("Metadata:")));
    let metadata: Value = serde_json::from_str(&metadata).unwrap();
    assert!(metadata["token_endpoint"].is_string(), "{metadata}");
    assert!(dev.said.contains("ends when jeton dev starts again"), "{}", dev.said);
}
