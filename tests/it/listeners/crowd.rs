//! Connections on which nothing has authenticated make way for new ones, so that opening many of them
//! keeps nobody out. Each honest call here opens a connection of its own.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    time::Duration,
};

use jeton::net::Limits;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
    time::timeout,
};

use super::Attacked;
use crate::support::http::{FORM, basic, get, send_from};

const ATTACKER: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 66));
const HONEST: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));

/// Much longer than a call takes, much shorter than any timeout of a connection.
const AT_ONCE: Duration = Duration::from_secs(3);

async fn connect(from: IpAddr, to: SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(SocketAddr::new(from, 0)).unwrap();
    socket.connect(to).await.unwrap()
}

/// Connections that stay open after this has been sent on each.
async fn crowd(count: usize, to: SocketAddr, sent: &[u8]) -> Vec<TcpStream> {
    let mut crowd = Vec::new();
    for _ in 0..count {
        let mut stream = connect(ATTACKER, to).await;
        stream.write_all(sent).await.unwrap();
        crowd.push(stream);
    }
    crowd
}

async fn assert_served(attacked: &Attacked, context: &str) {
    for attempt in 0..50 {
        let request = ::http::Request::post("/oauth2/token")
            .header("content-type", FORM)
            .header("authorization", basic(attacked.good.id(), attacked.good.secret()))
            .body(b"grant_type=client_credentials".to_vec())
            .unwrap();
        let answer = send_from(SocketAddr::new(HONEST, 0), attacked.http(), request);
        let answer = timeout(AT_ONCE, answer).await;
        assert!(answer.is_ok_and(|answer| answer.status == 200), "{context}, {attempt}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_that_have_not_authenticated_keep_nobody_out() {
    let metadata = b"GET /.well-known/oauth-authorization-server HTTP/1.1\r\nHost: x\r\n\r\n";
    let unfinished = b"POST /oauth2/token HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n";
    let rows: [(&str, &[u8]); 4] = [
        ("silent", b""),
        ("one request each", metadata),
        ("half a header", b"GET / HTTP/1.1\r\n"),
        ("a body that does not come", unfinished),
    ];
    for (context, sent) in rows {
        let attacked = Attacked::start(Limits { max_connections: 20, ..Limits::default() }).await;
        let _crowd = crowd(60, attacked.http(), sent).await;
        assert_served(&attacked, context).await;
    }
}

/// A client that keeps its connection has it still.
#[tokio::test(flavor = "multi_thread")]
async fn a_connection_on_which_a_call_succeeded_is_kept() {
    let attacked = Attacked::start(Limits { max_connections: 20, ..Limits::default() }).await;
    let call = format!(
        "POST /oauth2/token HTTP/1.1\r\nHost: x\r\nContent-Type: {FORM}\r\n\
         Authorization: {}\r\nContent-Length: 29\r\n\r\ngrant_type=client_credentials",
        basic(attacked.good.id(), attacked.good.secret())
    );
    let mut kept = connect(HONEST, attacked.http()).await;
    let mut answer = [0; 4096];
    for round in 0..3 {
        kept.write_all(call.as_bytes()).await.unwrap();
        let read = timeout(AT_ONCE, kept.read(&mut answer)).await.unwrap().unwrap();
        let said = String::from_utf8_lossy(&answer[..read]);
        assert!(said.starts_with("HTTP/1.1 200"), "{round}: {said}");
        let _crowd = crowd(60, attacked.http(), b"").await;
        assert_served(&attacked, "beside a crowd").await;
    }
}

/// Kubernetes would restart a node whose probes are not answered.
#[tokio::test(flavor = "multi_thread")]
async fn the_probe_listener_cannot_be_held_shut() {
    let attacked = Attacked::start(Limits::default()).await;
    let probes = attacked.node.node.probe_addr();
    for sent in [&b""[..], b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n"] {
        let _crowd = crowd(48, probes, sent).await;
        for _ in 0..20 {
            assert_eq!(timeout(AT_ONCE, get(probes, "/livez")).await.unwrap().status, 200);
            assert_eq!(timeout(AT_ONCE, get(probes, "/readyz")).await.unwrap().status, 200);
        }
    }
    let page = get(probes, "/metrics").await;
    let page = String::from_utf8(page.body.to_vec()).unwrap();
    assert!(page.contains(r#"jeton_connections_evicted_total{listener="probes"}"#), "{page}");
}
