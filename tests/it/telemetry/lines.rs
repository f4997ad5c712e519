//! The lines of the log: one a request, of one id wherever it goes, and nobody can forge one.

use std::net::SocketAddr;

use ::http::{Request, header};
use base64::{Engine, engine::general_purpose::STANDARD};
use jeton::pb::v1::{
    ClientAuthentication, IntrospectTokenRequest, IssueTokenRequest,
    token_service_client::TokenServiceClient,
};
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tonic::transport::Channel;

use crate::support::{
    Database, Kind,
    binary::{Served, run_json},
    http::{Answer, FORM, basic, send},
};

const JSON: [&str; 2] = ["--log-format", "json"];

/// The one line of the access log that has this id.
fn line(log: &str, id: &str) -> Value {
    let lines = log.lines().filter(|line| line.contains(id));
    let lines = lines.filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let found: Vec<_> = lines.filter(|line| line["target"] == "access").collect();
    assert_eq!(found.len(), 1, "{id}: {found:?}");
    found[0].clone()
}

async fn ask(address: SocketAddr, id: &str, secret: &str, form: &str) -> Answer {
    let request = Request::post("/oauth2/token")
        .header(header::CONTENT_TYPE, FORM)
        .header(header::AUTHORIZATION, basic("orders", secret))
        .header("x-request-id", id);
    send(address, request.body(form.as_bytes().to_vec()).unwrap()).await
}

fn authentication(client_id: &str, client_secret: &str) -> ClientAuthentication {
    let (client_id, client_secret) = (client_id.to_owned(), client_secret.to_owned());
    ClientAuthentication { client_id, client_secret }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_has_one_id_and_one_line_on_every_face() {
    let database = Database::ready(Kind::Sqlite).await;
    let client = ["client", "create", "--client-id", "orders", "--scope", "read"];
    let secret = run_json(&client, &database)["client_secret"].as_str().unwrap().to_owned();
    let node = Served::start(&database, &JSON);
    let upstream = format!("http://{}", node.grpc);
    let shim = Served::shim(&[&["--upstream", &upstream], &JSON[..]].concat());
    let form = "grant_type=client_credentials";

    let answers = [
        ask(node.http, "local-1", &secret, form).await,
        ask(node.http, "local-2", "wrong", form).await,
        ask(node.http, "local-3", &secret, "grant_type=x").await,
        ask(shim.http, "remote-1", &secret, form).await,
    ];
    for (answer, id) in answers.iter().zip(["local-1", "local-2", "local-3", "remote-1"]) {
        assert_eq!(answer.header("x-request-id"), id);
    }
    let made = ask(node.http, "not one\u{e9}", &secret, form).await;
    assert!(made.header("x-request-id").contains('-'));

    let mut client: TokenServiceClient<Channel> =
        TokenServiceClient::connect(upstream).await.unwrap();
    let mut request = tonic::Request::new(IntrospectTokenRequest {
        token: "jta_x".to_owned(),
        client_authentication: Some(authentication("orders", &secret)),
        ..Default::default()
    });
    request.metadata_mut().insert("x-request-id", "grpc-1".parse().unwrap());
    let answer = client.introspect_token(request).await.unwrap();
    assert_eq!(answer.metadata().get("x-request-id").unwrap(), "grpc-1");
    let refused = client.issue_token(IssueTokenRequest::default()).await.unwrap_err();
    assert!(!refused.metadata().get("x-request-id").unwrap().is_empty(), "errors have one too");

    let log = node.end();
    let told = |id| {
        let line = line(&log, id);
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        assert!(line["micros"].is_u64());
        let status = line["status"].as_u64();
        [&line["listener"], &line["rpc"], &line["outcome"], &line["span"]["client_id"]]
            .map(text)
            .into_iter()
            .chain(status.map(|status| status.to_string()))
            .collect::<Vec<_>>()
    };
    assert_eq!(told("local-1"), ["http", "IssueToken", "OK", "orders", "200"]);
    assert_eq!(told("local-2"), ["http", "IssueToken", "INVALID_CLIENT", "", "401"]);
    let unsupported = ["http", "IssueToken", "UNSUPPORTED_GRANT_TYPE", "orders", "400"];
    assert_eq!(told("local-3"), unsupported);
    assert_eq!(told("remote-1"), ["grpc", "IssueToken", "OK", "orders"], "as the node tells it");
    assert_eq!(told("grpc-1"), ["grpc", "IntrospectToken", "OK", "orders"]);
    let of_shim = line(&shim.end(), "remote-1");
    assert_eq!((&of_shim["path"], &of_shim["outcome"]), (&"/oauth2/token".into(), &"OK".into()));
}

/// Ends a line, clears the screen, and begins a line that looks like one of ours.
const FORGERY: &str = "x\r\n\u{1b}[2J2026-01-01T00:00:00Z  INFO access: canary\n{\"canary\":1}";

/// Writes bytes as they are: no client library would send these.
async fn write(address: SocketAddr, request: &[u8]) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request).await.unwrap();
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    assert!(answer.starts_with(b"HTTP/1.1 4"), "{}", String::from_utf8_lossy(&answer));
}

/// The forgery in everything that a caller may write freely, on both faces.
async fn forge(node: &Served) {
    let encoded: Vec<_> = FORGERY.bytes().map(|byte| format!("%{byte:02x}")).collect();
    let encoded = encoded.concat();
    let pair = STANDARD.encode(format!("{FORGERY}:{FORGERY}"));
    let form = format!(
        "grant_type={encoded}&scope={encoded}&client_id={encoded}&client_secret=x&resource={encoded}"
    );
    for path in ["/oauth2/token", "/oauth2/introspect", &*format!("/{encoded}?{encoded}={encoded}")]
    {
        for authorization in [format!("Basic {pair}"), format!("Bearer {pair}")] {
            let request = Request::post(path)
                .header(header::CONTENT_TYPE, FORM)
                .header(header::AUTHORIZATION, authorization)
                .header(header::USER_AGENT, &encoded)
                .header("x-request-id", &encoded);
            send(node.http, request.body(form.clone().into_bytes()).unwrap()).await;
        }
    }
    let end = "Host: x\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
    for head in [
        format!("GET /\u{1b}[2Jcanary HTTP/1.1\r\n{end}"),
        format!("POST /oauth2/token HTTP/1.1\r\nUser-Agent: \u{1b}[2Jcanary\r\n{end}"),
        format!("POST /oauth2/token HTTP/1.1\r\nUser-Agent: x\r\n canary: folded\r\n{end}"),
        format!("POST /oauth2/token HTTP/1.1\r\nX-Request-Id: x\rcanary\r\n{end}"),
        format!("POST /oauth2/token HTTP/1.1\r\nX-Request-Id: \u{9b}2Jcanary\r\n{end}"),
    ] {
        write(node.http, head.as_bytes()).await;
    }
    let mut client: TokenServiceClient<Channel> =
        TokenServiceClient::connect(format!("http://{}", node.grpc)).await.unwrap();
    let message = IssueTokenRequest {
        scopes: vec![FORGERY.to_owned()],
        resources: vec![FORGERY.to_owned()],
        client_authentication: Some(authentication(FORGERY, FORGERY)),
        ..Default::default()
    };
    client.issue_token(message).await.unwrap_err();
}

// FC-34 (RUSTSEC-2025-0055), at the level at which libraries log as well.
#[tokio::test(flavor = "multi_thread")]
async fn nobody_can_forge_a_line_or_paint_the_terminal() {
    for format in ["text", "json"] {
        let database = Database::new(Kind::Sqlite).await;
        let node = Served::start(&database, &["--log", "trace", "--log-format", format]);
        forge(&node).await;
        let log = node.end();
        assert!(log.contains("TRACE") && log.contains("access"));
        let is_control = |letter: char| letter.is_control() && letter != '\n';
        for line in log.lines() {
            assert!(!line.contains(is_control), "{format}: {line:?}");
            let is_ours = match format {
                "json" => {
                    serde_json::from_str::<Value>(line).is_ok_and(|line| line["level"].is_string())
                }
                _ => line.starts_with("20") && !line.starts_with("2026-01-01"),
            };
            assert!(is_ours, "{format}: {line:?}");
        }
    }
}
