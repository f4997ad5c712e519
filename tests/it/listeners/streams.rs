//! A call that answers with a stream is limited, counted and drained by the end of its body.

use std::{net::SocketAddr, time::Duration};

use jeton::net::Limits;
use tokio::time::{Instant, sleep, timeout};
use tonic::{Code, Request, transport::Channel};
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};

use super::Attacked;
use crate::support::{http::get, raw_h2::LONG};

fn of_the_server() -> HealthCheckRequest {
    HealthCheckRequest { service: String::new() }
}

async fn health(grpc: SocketAddr) -> HealthClient<Channel> {
    let endpoint = Channel::from_shared(format!("http://{grpc}")).unwrap();
    HealthClient::new(endpoint.connect().await.unwrap())
}

/// How many requests ended with this outcome.
async fn counted(node: &Attacked, outcome: &str) -> u64 {
    let page = get(node.node.node.probe_addr(), "/metrics").await;
    let page = String::from_utf8(page.body.to_vec()).unwrap();
    let series =
        format!(r#"jeton_requests_total{{listener="grpc",rpc="unknown",outcome="{outcome}"}} "#);
    page.lines().find_map(|line| line.strip_prefix(&series)?.parse().ok()).unwrap_or(0)
}

async fn until_counted(node: &Attacked, outcome: &str, expected: u64) {
    let began = Instant::now();
    while counted(node, outcome).await != expected {
        assert!(began.elapsed() < LONG, "{outcome} is not counted");
        sleep(Duration::from_millis(10)).await;
    }
}

/// Requests that run on a connection before one has authenticated.
const EARLY: usize = 16;

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_of_a_stranger_has_few_streams_and_each_counts_until_its_body_ends() {
    let node = Attacked::start(Limits::default()).await;
    let mut health = health(node.grpc()).await;
    let mut watches = Vec::new();
    for _ in 0..EARLY {
        let mut watch = health.watch(of_the_server()).await.unwrap().into_inner();
        watch.message().await.unwrap().unwrap();
        watches.push(watch);
    }
    let waiting = timeout(Duration::from_millis(300), health.watch(of_the_server())).await;
    assert!(waiting.is_err(), "one more has to wait");
    until_counted(&node, "CANCELLED", 1).await;

    watches.pop();
    until_counted(&node, "CANCELLED", 2).await;
    let mut watch = health.watch(of_the_server()).await.unwrap().into_inner();
    watch.message().await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_ends_at_the_deadline_of_its_caller() {
    let node = Attacked::start(Limits::default()).await;
    let mut health = health(node.grpc()).await;
    let mut request = Request::new(of_the_server());
    // Set by hand, so that the client itself does not end the call at its deadline.
    request.metadata_mut().insert("grpc-timeout", "300m".parse().unwrap());
    let began = Instant::now();
    let mut watch = health.watch(request).await.unwrap().into_inner();
    watch.message().await.unwrap().unwrap();
    let ended = timeout(LONG, watch.message()).await.unwrap().unwrap_err();
    assert_eq!(ended.code(), Code::DeadlineExceeded, "{ended}");
    assert!(began.elapsed() >= Duration::from_millis(300), "{:?}", began.elapsed());
    until_counted(&node, "DEADLINE_EXCEEDED", 1).await;
}
