//! Every wait for a peer has an end.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use jeton::net::Limits;
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt},
    net::TcpStream,
    time::{sleep, timeout},
};

use super::{Attacked, SOON, closed, metadata_over, short_handshake};
use crate::support::{
    raw_h2::{DATA, END_HEADERS, END_STREAM, HEADERS, LONG, NO_ERROR, PREFACE, RawH2, call, frame},
    tls::{TlsNode, client_tls, connect},
};

const HTTP1_HEADER: &str = "POST /oauth2/token HTTP/1.1\r\nhost: localhost\r\n";
const CHECK: &str = "/grpc.health.v1.Health/Check";
const ISSUE: &str = "/jeton.v1.TokenService/IssueToken";

/// Opens a connection to each address for each beginning, sends that and no more, and waits until
/// the server has closed all of them.
async fn all_closed(addresses: [SocketAddr; 2], beginnings: &[&[u8]]) {
    let mut stalled = Vec::new();
    for address in addresses {
        for beginning in beginnings {
            let mut stream = TcpStream::connect(address).await.unwrap();
            stream.write_all(beginning).await.unwrap();
            stalled.push(stream);
        }
    }
    for mut stream in stalled {
        assert_eq!(closed(&mut stream).await, "");
    }
}

// FC-37, M-13, F3: the beginning of a preface could be one of HTTP/1.1 as well.
#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_sends_nothing_or_stops_in_its_first_bytes_is_closed() {
    let node = Attacked::start(short_handshake()).await;
    let beginnings = [&b""[..], b"P", &PREFACE[..23], HTTP1_HEADER.as_bytes()];
    all_closed([node.grpc(), node.http()], &beginnings).await;
    node.still_serves().await;
}

// FC-37, M-13
#[tokio::test(flavor = "multi_thread")]
async fn half_a_tls_handshake_is_closed() {
    let node = TlsNode::start(short_handshake()).await;
    let client_hello = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03";
    let addresses = [node.node.grpc_addr(), node.node.http_addr()];
    all_closed(addresses, &[b"", client_hello]).await;
}

// FC-37, M-13: that a handshake was finished gives a peer no more time.
#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_stops_after_its_tls_handshake_is_closed() {
    let node = TlsNode::start(short_handshake()).await;
    let mut stalled = Vec::new();
    for beginning in [&b""[..], &PREFACE[..23], HTTP1_HEADER.as_bytes()] {
        for alpn in ["h2", "http/1.1", ""] {
            let config = client_tls(&node.files.authority, None, alpn);
            let mut stream = connect(node.node.http_addr(), &config).await.unwrap();
            // A machine that is busy may be so late that it is closed already.
            let _ = stream.write_all(beginning).await;
            let _ = stream.flush().await;
            stalled.push(stream);
        }
    }
    for mut stream in stalled {
        assert_eq!(closed(&mut stream).await, "");
    }
}

/// Sends bytes one at a time and then nothing, and returns what the server says before it closes.
async fn drip(stream: impl AsyncRead + AsyncWrite, bytes: &[u8]) -> String {
    let (mut reader, mut writer) = tokio::io::split(stream);
    let writing = async {
        for byte in bytes {
            // Short of every deadline; once the server has closed, there is nothing more to do.
            sleep(SOON / 10).await;
            if writer.write_all(&[*byte]).await.is_err() || writer.flush().await.is_err() {
                break;
            }
        }
        sleep(LONG).await;
    };
    tokio::select! {
        said = closed(&mut reader) => said,
        () = writing => panic!("it stays open"),
    }
}

// FC-37, M-13: a deadline for the whole, since one for each byte would never pass. An answer would
// show that the preface had been taken after all.
#[tokio::test(flavor = "multi_thread")]
async fn a_preface_or_a_first_header_that_drips_ends_at_the_deadline() {
    let node = Attacked::start(short_handshake()).await;
    let secure = TlsNode::start(short_handshake()).await;
    let config = client_tls(&secure.files.authority, None, "");
    for bytes in [PREFACE, HTTP1_HEADER.as_bytes()] {
        for address in [node.grpc(), node.http()] {
            let stream = TcpStream::connect(address).await.unwrap();
            assert_eq!(drip(stream, bytes).await, "");
        }
        let stream = connect(secure.node.http_addr(), &config).await.unwrap();
        assert_eq!(drip(stream, bytes).await, "");
    }
    node.still_serves().await;
}

// FC-37, M-13
#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_drips_is_answered_at_the_deadline() {
    let limits = Limits { body_timeout: SOON, request_timeout: SOON, ..Limits::default() };
    let node = Attacked::start(limits).await;
    let http1 = format!(
        "{HTTP1_HEADER}connection: close\r\ncontent-length: 30\r\n\
         content-type: application/x-www-form-urlencoded\r\n\r\n"
    );
    let mut stream = TcpStream::connect(node.http()).await.unwrap();
    stream.write_all(http1.as_bytes()).await.unwrap();
    let said = drip(stream, b"grant_type=client_credentials").await;
    assert!(said.starts_with("HTTP/1.1 408"), "{said}");

    let mut http2 = RawH2::connect(node.grpc(), &[]).await;
    http2.send(&frame(HEADERS, END_HEADERS, 1, &call(ISSUE))).await.unwrap();
    let answered = async {
        loop {
            http2.send(&frame(DATA, 0, 1, &[0])).await.unwrap();
            let next = timeout(SOON / 10, http2.next()).await;
            if matches!(next, Ok(Ok((HEADERS, _)))) {
                break;
            }
        }
    };
    timeout(LONG, answered).await.expect("it is never answered");
    node.still_serves().await;
}

// M-13: a header that drips within HTTP/2 leaves no room for the answer to a ping.
#[tokio::test(flavor = "multi_thread")]
async fn a_peer_that_does_not_answer_a_ping_is_gone() {
    let node = Attacked::start(Limits { ping_interval: SOON, ..Limits::default() }).await;
    let started = RawH2::connect(node.grpc(), &[]).await;
    let block = call(ISSUE).repeat(20);
    drip(started.into_stream(), &frame(HEADERS, END_HEADERS, 1, &block)).await;
    node.still_serves().await;
}

// M-13
#[tokio::test(flavor = "multi_thread")]
async fn a_connection_without_requests_is_closed_in_time_and_one_with_requests_is_not() {
    let node = Attacked::start(Limits { idle_timeout: SOON, ..Limits::default() }).await;
    let mut http1 = TcpStream::connect(node.http()).await.unwrap();
    http1.write_all(b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
    assert!(closed(&mut http1).await.starts_with("HTTP/1.1 404"));
    // The second header stops half way, or arrives byte by byte.
    let first = b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\nGET / HTTP/1.1\r\nho";
    let mut half = TcpStream::connect(node.http()).await.unwrap();
    half.write_all(first).await.unwrap();
    assert!(closed(&mut half).await.starts_with("HTTP/1.1 404"));
    let mut dripping = TcpStream::connect(node.http()).await.unwrap();
    dripping.write_all(first).await.unwrap();
    assert!(drip(dripping, b"st: localhost").await.starts_with("HTTP/1.1 404"));
    let http2 = RawH2::connect(node.grpc(), &[]).await;
    assert_eq!(http2.end().await.goaway, Some(NO_ERROR));

    // For longer than the deadline for connections without.
    let mut busy = RawH2::connect(node.grpc(), &[]).await;
    for stream in (1..).step_by(2).take(20) {
        busy.send(&frame(HEADERS, END_HEADERS | END_STREAM, stream, &call(CHECK))).await.unwrap();
        busy.until(HEADERS).await;
        sleep(SOON / 5).await;
    }
}

// F3: tonic's own limit cuts an old connection, and what is under way on it.
#[tokio::test(flavor = "multi_thread")]
async fn an_old_connection_ends_and_every_request_that_was_taken_is_answered() {
    let node = Attacked::start(Limits { max_connection_age: SOON, ..Limits::default() }).await;
    let (idle, busy) =
        (RawH2::connect(node.grpc(), &[]).await, RawH2::connect(node.grpc(), &[]).await);
    let calls = (1..).step_by(2).map(|stream| {
        let header = frame(HEADERS, END_HEADERS, stream, &call(CHECK));
        [header, frame(DATA, END_STREAM, stream, &[0; 5])].concat()
    });
    let (idle, busy) = tokio::join!(idle.end(), busy.end_under_load(calls));
    assert_eq!(idle.goaway, Some(NO_ERROR));
    assert_eq!(busy.goaway, Some(NO_ERROR));
    // Streams of a client are odd, and each answer has headers and trailers.
    let taken = usize::try_from(busy.last_stream).unwrap().div_ceil(2);
    assert!(taken > 0);
    assert_eq!(busy.headers, 2 * taken);
    node.still_serves().await;
}

// M-13
#[tokio::test(flavor = "multi_thread")]
async fn places_taken_by_silent_peers_are_free_again_at_the_deadline() {
    let limits = Limits { max_connections: 4, ..short_handshake() };
    let node = Attacked::start(limits).await;
    let mut silent = Vec::new();
    for _ in 0..8 {
        silent.push(TcpStream::connect(node.http()).await.unwrap());
    }
    // It waits in the backlog behind all of them.
    metadata_over(TcpStream::connect(node.http()).await.unwrap()).await;
    drop(silent);
}

/// A message that does not arrive holds no permit, and its call has an end.
#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_does_not_arrive_ends_its_call() {
    const TIMEOUT: Duration = Duration::from_millis(200);
    let limits = Limits { request_timeout: TIMEOUT, max_requests: 1, ..Limits::default() };
    let node = Attacked::start(limits).await;
    let mut peer = RawH2::connect(node.grpc(), &[]).await;
    let began = Instant::now();
    // The head of a message of nine bytes, and none of them.
    let beginning = frame(DATA, 0, 1, &[0, 0, 0, 0, 9]);
    let header = frame(HEADERS, END_HEADERS, 1, &call(ISSUE));
    peer.send(&[header, beginning].concat()).await.unwrap();
    node.still_serves().await;
    peer.until(HEADERS).await;
    assert!((TIMEOUT..SOON).contains(&began.elapsed()), "{:?}", began.elapsed());
}
