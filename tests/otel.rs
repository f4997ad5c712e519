//! Spans, as a collector of OpenTelemetry receives them. A target of its own, because only it has to
//! be built once more, with the feature `otel`.

#![expect(clippy::unwrap_used, reason = "a test fails by a panic")]

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    path::Path,
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
};

use base64::{Engine, prelude::BASE64_STANDARD};
use opentelemetry_proto::tonic::{
    collector::trace::v1::{
        ExportTraceServiceRequest, ExportTraceServiceResponse,
        trace_service_server::{TraceService, TraceServiceServer},
    },
    common::v1::{KeyValue, any_value::Value},
};
use rustix::process::{Pid, Signal, kill_process};
use tokio::net::TcpListener;
use tonic::{Request, Response, Status, transport::server::TcpIncoming};

/// Keeps what it receives.
#[derive(Clone, Default)]
struct Collector(Arc<Mutex<Vec<ExportTraceServiceRequest>>>);

#[tonic::async_trait]
impl TraceService for Collector {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        self.0.lock().unwrap().push(request.into_inner());
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

fn text<'a>(attributes: &'a [KeyValue], key: &str) -> Option<&'a str> {
    let value = attributes.iter().find(|attribute| attribute.key == key)?.value.as_ref()?;
    match value.value.as_ref()? {
        Value::StringValue(text) => Some(text),
        _ => None,
    }
}

fn jeton(data: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_jeton"));
    command.env_clear().env("JETON_DATA_DIR", data).stdin(Stdio::null());
    command
}

/// Registers the client `orders` and returns its secret.
fn registered(data: &Path) -> String {
    jeton(data).arg("migrate").output().unwrap();
    let create = ["client", "create", "--client-id", "orders", "--json"];
    let created = jeton(data).args(create).output().unwrap();
    let created: serde_json::Value = serde_json::from_slice(&created.stdout).unwrap();
    created["client_secret"].as_str().unwrap().to_owned()
}

/// A node, and the address at which it answers HTTP.
fn served(data: &Path, endpoint: &str) -> (Child, String) {
    let any = "127.0.0.1:0";
    let mut child = jeton(data)
        .args(["serve", "--grpc-addr", any, "--http-addr", any, "--probe-addr", any])
        .args(["--otlp-endpoint", endpoint])
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map_while(Result::ok);
    let serving = lines.find(|line| line.contains(": serving ")).unwrap();
    // The log is read to its end, so that the node never waits for its reader.
    std::thread::spawn(move || lines.for_each(drop));
    let http = serving.split_whitespace().find_map(|word| word.strip_prefix("http="));
    (child, http.unwrap().to_owned())
}

/// Asks for a token, and returns the answer as it was received.
fn ask(http: &str, secret: &str) -> String {
    let mut stream = TcpStream::connect(http).unwrap();
    let (body, basic) = ("grant_type=client_credentials", format!("orders:{secret}"));
    let request = format!(
        "POST /oauth2/token HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\
         authorization: Basic {}\r\ncontent-type: application/x-www-form-urlencoded\r\n\
         x-request-id: request-7\r\ncontent-length: {}\r\n\r\n{body}",
        BASE64_STANDARD.encode(basic),
        body.len()
    );
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_collector_is_sent_a_span_a_request_and_no_secret() {
    let collector = Collector::default();
    let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", socket.local_addr().unwrap());
    let service = TraceServiceServer::new(collector.clone());
    let collecting = tonic::transport::Server::builder().add_service(service);
    tokio::spawn(collecting.serve_with_incoming(TcpIncoming::from(socket)));

    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let secret = registered(&data);
    let (mut node, http) = served(&data, &endpoint);
    let answer = ask(&http, &secret);
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    // What is left is sent before the process ends.
    kill_process(Pid::from_child(&node), Signal::TERM).unwrap();
    assert!(node.wait().unwrap().success());

    let received = collector.0.lock().unwrap();
    let resources: Vec<_> = received.iter().flat_map(|sent| &sent.resource_spans).collect();
    for sent in &resources {
        let attributes = &sent.resource.as_ref().unwrap().attributes;
        assert_eq!(text(attributes, "service.name"), Some("jeton"));
    }
    let scopes = resources.iter().flat_map(|sent| &sent.scope_spans);
    let spans: Vec<_> = scopes.flat_map(|scope| &scope.spans).collect();
    let ours = spans.iter().filter(|span| text(&span.attributes, "id") == Some("request-7"));
    let ours: Vec<_> = ours.collect();
    assert_eq!(ours.len(), 1, "{spans:?}");
    assert_eq!(ours[0].name, "request");
    assert_eq!(text(&ours[0].attributes, "client_id"), Some("orders"));
    assert!(ours[0].end_time_unix_nano >= ours[0].start_time_unix_nano);

    let all = format!("{received:?}");
    let token = answer.split('"').find(|part| part.starts_with("jta_")).unwrap();
    assert!(!all.contains(&secret) && !all.contains(token));
}
