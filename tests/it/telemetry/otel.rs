//! Spans, as a collector of OpenTelemetry receives them.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use ::http::Request as HttpRequest;
use opentelemetry_proto::tonic::{
    collector::trace::v1::{
        ExportTraceServiceRequest, ExportTraceServiceResponse,
        trace_service_server::{TraceService, TraceServiceServer},
    },
    common::v1::{KeyValue, any_value::Value},
};
use rustix::process::Signal;
use tokio::net::TcpListener;
use tonic::{Request, Response, Status, transport::server::TcpIncoming};

use crate::support::{
    Database, Kind,
    binary::{Served, run_json},
    http::{FORM, basic, send},
};

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

#[tokio::test]
async fn a_collector_is_sent_a_span_a_request_and_no_secret() {
    let collector = Collector::default();
    let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", socket.local_addr().unwrap());
    let service = TraceServiceServer::new(collector.clone());
    let collecting = tonic::transport::Server::builder().add_service(service);
    tokio::spawn(collecting.serve_with_incoming(TcpIncoming::from(socket)));

    let database = Database::ready(Kind::Sqlite).await;
    let created = run_json(&["client", "create", "--client-id", "orders"], &database);
    let secret = created["client_secret"].as_str().unwrap();
    let mut served = Served::start(&database, &["--otlp-endpoint", &endpoint]);
    let request = HttpRequest::post("/oauth2/token")
        .header("authorization", basic("orders", secret))
        .header("content-type", FORM)
        .header("x-request-id", "request-7")
        .body(b"grant_type=client_credentials".to_vec())
        .unwrap();
    let answer = send(served.http, request).await;
    assert_eq!(answer.status, 200);
    // What is left is sent before the process ends.
    served.signal(Signal::TERM);
    assert!(served.ended(Duration::from_secs(20)).await.success());

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
    let token = String::from_utf8(answer.body.to_vec()).unwrap();
    let token = token.split('"').find(|part| part.starts_with("jta_")).unwrap();
    assert!(!all.contains(secret) && !all.contains(token));
}
