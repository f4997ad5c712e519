//! A node that stops says so first, lets open requests finish, and ends at its deadline whatever a
//! peer does.

use std::net::SocketAddr;

use jeton::net::Limits;
use rustix::process::Signal;
use tokio::{io::AsyncWriteExt, net::TcpStream, time::timeout};
use tonic::{Code, transport::Channel};
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};

use super::{Attacked, SOON, metadata};
use crate::support::{
    Database, Kind,
    binary::Served,
    raw_h2::{DATA, END_HEADERS, END_STREAM, HEADERS, LONG, PREFACE, RawH2, call, frame},
    tls::Files,
};

const INITIAL_WINDOW: u16 = 4;

async fn health(grpc: SocketAddr) -> HealthClient<Channel> {
    let endpoint = Channel::from_shared(format!("http://{grpc}")).unwrap();
    HealthClient::new(endpoint.connect().await.unwrap())
}

fn of_the_server() -> HealthCheckRequest {
    HealthCheckRequest { service: String::new() }
}

// M-21
#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_stops_says_so_and_serves_on_until_balancers_have_noticed() {
    let limits = Limits { pre_stop: 4 * SOON, drain_timeout: LONG, ..Limits::default() };
    let attacked = Attacked::start(limits).await;
    let (grpc, http) = (attacked.grpc(), attacked.http());
    let mut health = health(grpc).await;
    let mut watch = health.watch(of_the_server()).await.unwrap().into_inner();
    assert_eq!(watch.message().await.unwrap().unwrap().status(), ServingStatus::Serving);

    let Attacked { node, good } = attacked;
    let (mut calls, issue) = (node.grpc.clone(), crate::support::node::issue_request(&good));
    let drain = tokio::spawn(node.node.drain());
    assert_eq!(watch.message().await.unwrap().unwrap().status(), ServingStatus::NotServing);
    let check = health.check(of_the_server()).await.unwrap().into_inner();
    assert_eq!(check.status(), ServingStatus::NotServing);
    calls.issue_token(issue).await.unwrap();
    metadata(http).await;
    drop((calls, health));

    // The watch would go on for ever. It ends with the drain, and nothing else holds that.
    let ended = timeout(LONG, watch.message()).await.unwrap().unwrap_err();
    assert_eq!(ended.code(), Code::Unavailable, "{ended}");
    drop(watch);
    assert!(timeout(LONG, drain).await.unwrap().unwrap(), "something was cut");
    assert!(TcpStream::connect(grpc).await.is_err(), "it still accepts");
}

/// Peers that stop at some point before their first request, one after the other.
async fn stalled(served: &Served, count: usize) -> Vec<TcpStream> {
    let mut stalled = Vec::new();
    for number in 0..count {
        let address = if number % 2 == 0 { served.grpc } else { served.http };
        let beginning: &[u8] = match number % 5 {
            0 => b"",
            1 => &PREFACE[..20],
            2 => b"GET / HTTP/1.1\r\n",
            3 => b"POST /oauth2/token HTTP/1.1\r\n",
            _ => b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        };
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(beginning).await.unwrap();
        stalled.push(stream);
    }
    stalled
}

/// Peers with a request that cannot be finished: they give no window for the answer, or send no end
/// of the body.
async fn unfinished(served: &Served, count: usize) -> (Vec<RawH2>, Vec<TcpStream>) {
    let (mut over_http2, mut over_http1) = (Vec::new(), Vec::new());
    for _ in 0..count {
        let mut peer = RawH2::connect(served.grpc, &[(INITIAL_WINDOW, 0)]).await;
        let path = call("/grpc.health.v1.Health/Check");
        peer.send(&frame(HEADERS, END_HEADERS, 1, &path)).await.unwrap();
        peer.send(&frame(DATA, END_STREAM, 1, &[0; 5])).await.unwrap();
        peer.until(HEADERS).await;
        over_http2.push(peer);
        let mut peer = TcpStream::connect(served.http).await.unwrap();
        let beginning = "POST / HTTP/1.1\r\nhost: localhost\r\ncontent-length: 9\r\n\r\n";
        peer.write_all(beginning.as_bytes()).await.unwrap();
        over_http1.push(peer);
    }
    (over_http2, over_http1)
}

/// Far longer than any test waits, so that only what is tested ends something.
const PATIENT: [&str; 4] = ["--handshake-timeout-ms", "600000", "--body-timeout-ms", "600000"];

// M-21, F3
#[tokio::test(flavor = "multi_thread")]
async fn a_node_ends_at_its_deadline_whatever_its_peers_do() {
    let database = Database::new(Kind::Sqlite).await;
    let flags = [&PATIENT[..], &["--drain-timeout-seconds", "1"]].concat();
    let mut served = Served::start(&database, &flags);
    let stalled = stalled(&served, 600).await;
    let unfinished = unfinished(&served, 20).await;
    metadata(served.http).await;
    served.signal(Signal::TERM);
    served.until("stopped at the deadline");
    assert!(served.ended(LONG).await.success());
    drop((stalled, unfinished));
}

// M-13, F3: who has not asked for anything yet has nothing that could be finished.
#[tokio::test(flavor = "multi_thread")]
async fn stalled_connections_do_not_hold_the_drain_at_all() {
    let database = Database::new(Kind::Sqlite).await;
    let files = Files::new();
    let (cert, key) = (files.path("cert.pem"), files.path("key.pem"));
    let tls = ["--tls-cert", cert.to_str().unwrap(), "--tls-key", key.to_str().unwrap()];
    for tls in [&[][..], &tls] {
        let flags = [&PATIENT[..], &["--drain-timeout-seconds", "600"], tls].concat();
        let mut served = Served::start(&database, &flags);
        let stalled = stalled(&served, 500).await;
        served.signal(Signal::TERM);
        served.until("stopped");
        assert!(served.ended(LONG).await.success());
        drop(stalled);
    }
}

// M-21
#[tokio::test(flavor = "multi_thread")]
async fn a_second_signal_ends_the_process_at_once() {
    let database = Database::new(Kind::Sqlite).await;
    let flags = [&PATIENT[..], &["--drain-timeout-seconds", "600"]].concat();
    for signal in [Signal::TERM, Signal::INT] {
        let mut served = Served::start(&database, &flags);
        let unfinished = unfinished(&served, 1).await;
        served.signal(signal);
        served.until("draining");
        // It waits for the requests.
        tokio::time::sleep(SOON).await;
        assert!(served.child.try_wait().unwrap().is_none());
        served.signal(signal);
        assert_eq!(served.ended(LONG).await.code(), Some(1));
        drop(unfinished);
    }
}
