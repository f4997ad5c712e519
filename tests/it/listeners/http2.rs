//! Frames that are allowed one by one and abused in numbers. Each connection comes to an end, and
//! the client on another one does not notice.

use jeton::net::Limits;
use tokio::{io::AsyncWriteExt, net::TcpStream, time::timeout};

use super::{Attacked, SOON, closed};
use crate::support::raw_h2::{
    CONTINUATION, DATA, END_HEADERS, END_STREAM, ENHANCE_YOUR_CALM, End, HEADERS, LONG, NO_ERROR,
    PING, RST_STREAM, RawH2, SETTINGS, call, frame, post,
};

const ISSUE: &str = "/jeton.v1.TokenService/IssueToken";
const CHECK: &str = "/grpc.health.v1.Health/Check";
const CANCEL: [u8; 4] = [0, 0, 0, 8];

/// The ids that a client may use, in order.
fn streams(count: usize) -> impl Iterator<Item = u32> {
    (1..).step_by(2).take(count)
}

/// Sends bytes on a new connection, asks meanwhile whether the good client is answered, and tells
/// how the connection ended.
async fn attack(node: &Attacked, bytes: Vec<u8>) -> End {
    let attacker = RawH2::connect(node.grpc(), &[]).await;
    let (end, ()) = tokio::join!(attacker.flood(bytes), node.still_serves());
    node.still_serves().await;
    end
}

// FC-35, M-14: RUSTSEC-2023-0034, CVE-2023-44487
#[tokio::test(flavor = "multi_thread")]
async fn streams_that_are_opened_and_reset_at_once_end_the_connection() {
    let node = Attacked::start(Limits::default()).await;
    let bytes = streams(20_000).flat_map(|stream| {
        let headers = frame(HEADERS, END_HEADERS | END_STREAM, stream, &call(ISSUE));
        [headers, frame(RST_STREAM, 0, stream, &CANCEL)].concat()
    });
    let end = attack(&node, bytes.collect()).await;
    assert_eq!(end.goaway, Some(ENHANCE_YOUR_CALM));
}

// FC-35, M-14: RUSTSEC-2024-0003
#[tokio::test(flavor = "multi_thread")]
async fn faulty_streams_without_number_end_the_connection() {
    let node = Attacked::start(Limits::default()).await;
    // The body ends where the header promises five bytes.
    let header = post(ISSUE, &[("content-length", "5")]);
    let bytes = streams(20_000)
        .flat_map(|stream| frame(HEADERS, END_HEADERS | END_STREAM, stream, &header));
    let end = attack(&node, bytes.collect()).await;
    assert_eq!(end.goaway, Some(ENHANCE_YOUR_CALM));
}

// FC-35, M-14: grpc-go GHSA-m425-mq94-257g
#[tokio::test(flavor = "multi_thread")]
async fn more_streams_than_are_allowed_are_refused_and_end_the_connection() {
    let node = Attacked::start(Limits { max_streams: 16, ..Limits::default() }).await;
    let bytes =
        streams(20_000).flat_map(|stream| frame(HEADERS, END_HEADERS, stream, &call(ISSUE)));
    let end = attack(&node, bytes.collect()).await;
    assert_eq!(end.goaway, Some(ENHANCE_YOUR_CALM));
}

// FC-35, M-14: RUSTSEC-2024-0332
#[tokio::test(flavor = "multi_thread")]
async fn a_header_without_end_ends_the_connection() {
    let node = Attacked::start(Limits::default()).await;
    // A field that is in no table, with a value of a kilobyte: what it says does not matter.
    let field = &post("", &[("x-filler", &"x".repeat(1_000))])[post("", &[]).len()..];
    for piece in [field, &[]] {
        let mut bytes = frame(HEADERS, 0, 1, &call(ISSUE));
        for _ in 0..20_000 {
            bytes.extend(frame(CONTINUATION, 0, 1, piece));
        }
        let end = attack(&node, bytes).await;
        assert_eq!(end.goaway, Some(ENHANCE_YOUR_CALM), "{} bytes each", piece.len());
    }
}

// FC-35, M-14: RUSTSEC-2026-0258
#[tokio::test(flavor = "multi_thread")]
async fn data_frames_without_data_end_the_connection() {
    let node = Attacked::start(Limits::default()).await;
    let mut bytes = frame(HEADERS, END_HEADERS, 1, &call(ISSUE));
    bytes.extend(frame(DATA, 0, 1, &[]).repeat(500_000));
    let end = attack(&node, bytes).await;
    assert_eq!(end.goaway, Some(ENHANCE_YOUR_CALM));
}

// FC-35, M-14: a peer that makes us answer and does not read. What we owe it does not grow, so that
// it must wait for us, and in the end it is cut.
#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_settings_or_pings_is_not_stored_and_comes_to_an_end() {
    let limits = Limits { idle_timeout: SOON, drain_timeout: SOON, ..Limits::default() };
    let node = Attacked::start(limits).await;
    for piece in [frame(SETTINGS, 0, 0, &[]), frame(PING, 0, 0, &[0; 8])] {
        let mut attacker = RawH2::connect(node.grpc(), &[]).await;
        let flood = piece.repeat(10_000);
        let flooding = async { while attacker.writer.write_all(&flood).await.is_ok() {} };
        let (cut, ()) = tokio::join!(timeout(LONG, flooding), node.still_serves());
        cut.expect("the flood goes on");
    }
    node.still_serves().await;
}

// FC-35, M-14: answers that nobody fetches, on a connection that looks alive.
#[tokio::test(flavor = "multi_thread")]
async fn a_reader_with_a_window_of_zero_comes_to_an_end() {
    let limits = Limits { idle_timeout: SOON, drain_timeout: SOON, ..Limits::default() };
    let node = Attacked::start(limits).await;
    let initial_window = 4;
    let mut reader = RawH2::connect(node.grpc(), &[(initial_window, 0)]).await;
    let message = [0; 5];
    for stream in streams(100) {
        reader.send(&frame(HEADERS, END_HEADERS, stream, &call(CHECK))).await.unwrap();
        reader.send(&frame(DATA, END_STREAM, stream, &message)).await.unwrap();
    }
    node.still_serves().await;
    let end = reader.end().await;
    // Nothing has authenticated, so only so many requests run at the same time.
    assert_eq!((end.goaway, end.headers), (Some(NO_ERROR), 16));
    node.still_serves().await;
}

// M-15
#[tokio::test(flavor = "multi_thread")]
async fn a_header_that_is_too_large_is_refused_on_both_protocols() {
    let node = Attacked::start(Limits::default()).await;
    let long = "x".repeat(20_000);
    let many = "x-many: y\r\n".repeat(600);
    for fields in [format!("x-long: {long}\r\n"), many] {
        let mut http1 = TcpStream::connect(node.http()).await.unwrap();
        let request = format!("GET / HTTP/1.1\r\nhost: localhost\r\n{fields}\r\n");
        // It may be refused before all of it is written.
        let _ = http1.write_all(request.as_bytes()).await;
        let said = closed(&mut http1).await;
        assert!(said.starts_with("HTTP/1.1 431"), "{said}");
    }
    let many = (0..600).map(|n| (format!("x-{n}"), "y")).collect::<Vec<_>>();
    let many = many.iter().map(|(name, value)| (name.as_str(), *value)).collect::<Vec<_>>();
    for fields in [&[("x-long", long.as_str())][..], &many] {
        let mut http2 = RawH2::connect(node.grpc(), &[]).await;
        let block = post(CHECK, fields);
        let (first, rest) = block.split_at(block.len().min(16_000));
        http2.send(&frame(HEADERS, END_STREAM, 1, first)).await.unwrap();
        http2.send(&frame(CONTINUATION, END_HEADERS, 1, rest)).await.unwrap();
        // `:status` (entry 8 of the static table) and `431` in the code of Huffman.
        let answer = http2.until(HEADERS).await;
        assert!(answer.starts_with(&[0x48, 0x83, 0x69, 0x90, 0xff]), "{answer:x?}");
    }
    node.still_serves().await;
}
