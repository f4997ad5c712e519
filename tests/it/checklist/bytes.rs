//! The bytes of HTTP/1.1: what a peer writes by hand and no client of HTTP would send, and where a
//! request ends. HTTP/2 has no chunks, no request lines and lengths in its frames, so that these
//! are tried on HTTP/1.1 alone, with and without TLS.

use std::time::Duration;

use jeton::net::Limits;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::timeout,
};

use super::{GRANT, House, METADATA};
use crate::support::{
    TestNodeOptions,
    http::FORM,
    wire::{Stream, Wire},
};

/// Longer than anything here takes: it turns a test that would hang into one that fails.
const PATIENCE: Duration = Duration::from_secs(20);

impl House {
    /// The head of a request, to which a test adds lines of its own.
    fn head(&self, line: &str) -> String {
        let authorization = self.basic();
        format!("{line}\r\nHost: x\r\nContent-Type: {FORM}\r\nAuthorization: {authorization}\r\n")
    }

    /// A whole request, after which the node closes the connection.
    fn last_request(&self, line: &str, body: &str) -> String {
        let head = self.head(line);
        format!("{head}Connection: close\r\nContent-Length: {}\r\n\r\n{body}", body.len())
    }
}

/// Sends these bytes, and returns all that is answered until the node closes the connection.
async fn tell(wire: &Wire, text: impl AsRef<str>) -> String {
    let mut stream = wire.connect().await;
    let mut answer = Vec::new();
    // Whoever is cut off while still talking may find that the answer was lost on the way.
    if stream.write_all(text.as_ref().as_bytes()).await.is_ok() {
        let _ = timeout(PATIENCE, stream.read_to_end(&mut answer)).await.unwrap();
    }
    String::from_utf8(answer).unwrap()
}

/// The statuses of all answers of a conversation.
fn statuses(said: &str) -> Vec<&str> {
    said.split("HTTP/1.1 ").skip(1).map(|answer| &answer[..3]).collect()
}

/// Reads until `wanted` was said.
async fn read_until(stream: &mut Stream, wanted: &str) -> String {
    let mut said = Vec::new();
    while !String::from_utf8_lossy(&said).contains(wanted) {
        let read = timeout(PATIENCE, stream.read_buf(&mut said)).await.unwrap().unwrap();
        assert!(read > 0, "the end came before {wanted}: {}", String::from_utf8_lossy(&said));
    }
    String::from_utf8(said).unwrap()
}

const POST: &str = "POST /oauth2/token HTTP/1.1";

/// 16, 18: chunks have extensions and trailers, which are passed over.
#[tokio::test(flavor = "multi_thread")]
async fn a_chunked_body_is_read_like_any_other_and_bounded_like_any_other() {
    let house = House::new().await.without_h2();
    let head = house.head(POST) + "Connection: close\r\nTransfer-Encoding: chunked\r\n";
    let chunked =
        |size: &str, data: &str, end: &str| format!("{head}\r\n{size}\r\n{data}\r\n{end}");
    let size = format!("{:x};ext=\"a;b\"", GRANT.len());
    let trailers = "0\r\nTrailer-One: a\r\n\r\n";
    let long = format!("{:x}", 40_000);
    for wire in &house.wires {
        for (request, expected) in [
            (chunked(&size, GRANT, "0\r\n\r\n"), "200"),
            (chunked(&size, GRANT, &format!("9\r\n&scope=re\r\n3\r\nad&\r\n{trailers}")), "200"),
            (chunked(&long, &"x".repeat(40_000), "0\r\n\r\n"), "413"),
        ] {
            let said = tell(wire, &request).await;
            assert_eq!(statuses(&said), [expected], "{said}");
        }
    }
}

/// 16, 18: of a body that does not end, or not as it was announced, nothing is believed.
#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_is_cut_short_or_endless_or_slow_is_refused_and_the_connection_is_given_up() {
    let limits = Limits { body_timeout: Duration::from_millis(200), ..Limits::default() };
    let endless = "x".repeat(limits.max_body_bytes + 1024 * 1024 + 1);
    let house = House::with(TestNodeOptions { limits, ..TestNodeOptions::default() });
    let house = house.await.without_h2();
    let announced = |length: usize| format!("{}Content-Length: {length}\r\n\r\n", house.head(POST));
    for wire in &house.wires {
        // Cut short: what came would be a whole grant.
        let mut stream = wire.connect().await;
        stream.write_all((announced(GRANT.len() + 1) + GRANT).as_bytes()).await.unwrap();
        stream.shutdown().await.unwrap();
        let short = read_until(&mut stream, "malformed").await;
        assert_eq!(statuses(&short), ["400"], "{short}");
        let bad_chunk = house.head(POST) + "Transfer-Encoding: chunked\r\n\r\nzz\r\n" + GRANT;
        let bad_chunk = tell(wire, bad_chunk).await;
        assert_eq!(statuses(&bad_chunk), ["400"], "{bad_chunk}");

        // Slow and endless: the sender still waits for us, and is told.
        for (sent, status) in [(GRANT, "408"), (&endless, "413")] {
            let said = tell(wire, announced(8 * 1024 * 1024) + sent).await;
            assert_eq!(statuses(&said), [status], "{said}");
            let said = said.to_lowercase();
            for expected in ["connection: close", "cache-control: no-store", "\"invalid_request\""]
            {
                assert!(said.contains(expected), "{expected} in {said}");
            }
        }
    }
}

/// 9: it is told to go on, and if it does not wait for that, it is served as well.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_may_wait_to_be_told_to_continue_or_not() {
    let house = House::new().await.without_h2();
    let head = house.head(POST) + "Connection: close\r\nExpect: 100-continue\r\n";
    let head = format!("{head}Content-Length: {}\r\n\r\n", GRANT.len());
    for wire in &house.wires {
        let mut stream = wire.connect().await;
        stream.write_all(head.as_bytes()).await.unwrap();
        read_until(&mut stream, "HTTP/1.1 100 Continue\r\n\r\n").await;
        stream.write_all(GRANT.as_bytes()).await.unwrap();
        let said = read_until(&mut stream, "access_token").await;
        assert_eq!(statuses(&said), ["200"], "{said}");

        let said = tell(wire, format!("{head}{GRANT}")).await;
        assert_eq!(statuses(&said).last(), Some(&"200"), "{said}");
    }
}

/// 8: old and odd request lines are served or refused, and never believed about who we are.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_request_line_says_of_the_host_is_of_no_consequence() {
    let house = House::new().await.without_h2();
    let body = format!("Connection: close\r\nContent-Length: {}\r\n\r\n{GRANT}", GRANT.len());
    let nameless = house.head(POST).replace("Host: x\r\n", "");
    let old = house.head("POST /oauth2/token HTTP/1.0").replace("Host: x\r\n", "");
    let absolute = house.head("POST http://evil.test/oauth2/token HTTP/1.1");
    let named = house.head(POST).replace("Host: x", "Host: evil.test");
    for wire in &house.wires {
        for head in [&nameless, &old, &absolute, &named] {
            let said = tell(wire, format!("{head}{body}")).await;
            assert!(said.starts_with("HTTP/1.") && !said.contains("evil"), "{head}{said}");
            assert!(said[9..].starts_with("200") || said[9..].starts_with("400"), "{said}");
        }
        let node = &house.nodes[usize::from(wire.tls.is_some())].node;
        let issuer = format!("\"issuer\":\"{}\"", node.issuer());
        for target in [METADATA.to_owned(), format!("http://evil.test{METADATA}")] {
            let forwarded =
                "Connection: close\r\nForwarded: host=evil.test\r\nX-Forwarded-Host: evil.test\r\n";
            let head = format!("GET {target} HTTP/1.1\r\nHost: evil.test\r\n{forwarded}\r\n");
            let said = tell(wire, head).await;
            assert!(said.contains(&issuer) && !said.contains("evil"), "{said}");
        }
    }
}

/// 14, 46: two header lines with one name, one value of which is folded away or empty, are two.
#[tokio::test(flavor = "multi_thread")]
async fn a_header_that_is_written_twice_counts_twice() {
    let house = House::new().await.without_h2();
    let body = format!("Connection: close\r\nContent-Length: {}\r\n\r\n{GRANT}", GRANT.len());
    for wire in &house.wires {
        for line in ["Content-Type: \r\n", "content-type: a/b\r\n", "AUTHORIZATION: \r\n"] {
            let said = tell(wire, format!("{}{line}{body}", house.head(POST))).await;
            assert_eq!(statuses(&said), ["400"], "{line}{said}");
        }
    }
}

/// 18: where two readers could disagree on where a request ends, there is no second request.
#[tokio::test(flavor = "multi_thread")]
async fn a_request_whose_length_is_ambiguous_smuggles_nothing() {
    let house = House::new().await.without_h2();
    let hidden = house.last_request(POST, GRANT);
    let chunked = "Transfer-Encoding: chunked\r\n";
    for wire in &house.wires {
        for lines in [
            "Content-Length: 0\r\nContent-Length: 5\r\n".to_owned(),
            "Content-Length: +0\r\n".to_owned(),
            "Content-Length: 0,5\r\n".to_owned(),
            "Transfer-Encoding: identity, x\r\n".to_owned(),
            "Transfer-Encoding: chunked, identity\r\n".to_owned(),
            "Transfer-Encoding : chunked\r\n".to_owned(),
            format!("Content-Length: {}\r\n{chunked}", hidden.len()),
            format!("X: a\r\n {chunked}"),
        ] {
            let said = tell(wire, format!("{}{lines}\r\n{hidden}", house.head(POST))).await;
            assert_eq!(statuses(&said), ["400"], "{lines}{said}");
        }
        // Who believes the length sees one request here, and who believes the chunks sees two.
        let two = format!("Content-Length: {}\r\n{chunked}\r\n0\r\n\r\n{hidden}", hidden.len() + 5);
        let said = tell(wire, house.head(POST) + &two).await;
        assert_eq!(statuses(&said), ["400"], "{said}");
        for lines in ["X: a\0b\r\n".to_owned(), format!("X: {}\r\n", "x".repeat(200_000))] {
            let said = tell(wire, house.head(POST) + &lines + "\r\n").await;
            assert!(matches!(statuses(&said)[..], [] | ["400" | "431"]), "{said}");
        }
    }
}

/// A header that a proxy in front could read otherwise (RFC 9112, sections 3.2 and 6.1).
#[tokio::test(flavor = "multi_thread")]
async fn a_header_that_can_be_read_in_two_ways_is_refused_and_the_connection_is_given_up() {
    let house = House::new().await.without_h2();
    let head = house.head(POST);
    let (line, fields) = head.split_once("\r\n").unwrap();
    let fields: Vec<_> = fields.lines().filter(|field| !field.starts_with("Host:")).collect();
    let without_host = format!("{line}\r\n{}\r\n", fields.join("\r\n"));
    let length = format!("Content-Length: {}\r\n", GRANT.len());
    let chunks = format!("\r\n{:x}\r\n{GRANT}\r\n0\r\n\r\n", GRANT.len());
    let rows = [
        (format!("{without_host}{length}\r\n{GRANT}"), "no Host"),
        (format!("{without_host}Host: a\r\nHost: b\r\n{length}\r\n{GRANT}"), "two"),
        (format!("{head}Transfer-Encoding: gzip, chunked\r\n{chunks}"), "two codings"),
    ];
    for wire in &house.wires {
        for (request, context) in &rows {
            let said = tell(wire, request).await;
            assert_eq!(statuses(&said), ["400"], "{context}: {said}");
            assert!(said.to_lowercase().contains("connection: close"), "{context}: {said}");
        }
    }
}
