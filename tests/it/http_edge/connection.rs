//! The bytes of HTTP itself: where a request ends, and what becomes of the connection after it.

use std::time::Duration;

use ::http::Request;
use jeton::server::Limits;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use super::{ENDPOINTS, GRANT, House, PATIENCE, read_until, statuses};
use crate::support::wire::Wire;

const POST: &str = "POST /oauth2/token HTTP/1.1";

/// 2, 13, 16: an answer is no reason to lose the connection, not even where a body came with it.
#[tokio::test]
async fn after_an_error_the_same_connection_serves_the_next_request() {
    let house = House::new().await;
    let (long, basic) = (format!("{GRANT}&foo={}", "x".repeat(30_000)), house.basic());
    let json = format!(
        "{POST}\r\nHost: x\r\nContent-Type: application/json\r\nAuthorization: {basic}\r\n\
         Content-Length: 2\r\n\r\n{{}}"
    );
    let conversation = [
        house.request("HEAD /oauth2/token HTTP/1.1", ""),
        house.request("GET /oauth2/token HTTP/1.1", GRANT),
        house.request("POST /nowhere HTTP/1.1", &long),
        house.request("DELETE /oauth2/revoke HTTP/1.1", &long),
        json,
        house.request(POST, &long),
        house.request(POST, "%zz"),
        house.last_request(POST, GRANT),
    ];
    let said = house.tell(conversation.concat()).await;
    assert_eq!(statuses(&said), ["405", "405", "404", "405", "415", "413", "400", "200"], "{said}");
}

/// 1, 3: each path names its own methods, and no origin is let in.
#[tokio::test]
async fn a_wrong_method_is_told_the_right_ones() {
    let house = House::new().await;
    for wire in Wire::both(house.address(), None) {
        let metadata = "/.well-known/oauth-authorization-server";
        let rows = ENDPOINTS.map(|path| (path, "GET", "POST"));
        for (path, method, allow) in [rows.as_slice(), &[(metadata, "POST", "GET,HEAD")]].concat() {
            for method in [method, "PUT", "OPTIONS", "post"] {
                let request = Request::builder().method(method).uri(path).header("origin", "null");
                let answer = wire.send(request.body(GRANT.into()).unwrap()).await;
                assert_eq!(answer.status, 405, "{method} {path}");
                assert_eq!(answer.header("allow"), allow, "{method} {path}");
                assert_eq!(answer.header("cache-control"), "no-store", "{method} {path}");
                let cors = answer.headers.keys().find(|k| k.as_str().starts_with("access-control"));
                assert_eq!(cors, None, "{method} {path}");
            }
        }
    }
}

/// 16, 18: a body without a length is measured as it comes, and its extras are passed over.
#[tokio::test]
async fn a_chunked_body_is_read_like_any_other_and_bounded_like_any_other() {
    let house = House::new().await;
    let head = house.head(POST) + "Connection: close\r\nTransfer-Encoding: chunked\r\n";
    let chunked =
        |size: &str, data: &str, end: &str| format!("{head}\r\n{size}\r\n{data}\r\n{end}");
    let size = format!("{:x};ext=\"a;b\"", GRANT.len());
    let trailers = "0\r\nTrailer-One: a\r\n\r\n";
    let long = format!("{:x}", 40_000);
    for (request, expected) in [
        (chunked(&size, GRANT, "0\r\n\r\n"), "200"),
        (chunked(&size, GRANT, &format!("9\r\n&scope=re\r\n3\r\nad&\r\n{trailers}")), "200"),
        (chunked(&long, &"x".repeat(40_000), "0\r\n\r\n"), "413"),
    ] {
        let said = house.tell(&request).await;
        assert_eq!(statuses(&said), [expected], "{said}");
    }
}

/// 16, 18: of a body that does not end, or not as it was announced, nothing is believed.
#[tokio::test]
async fn a_body_that_is_cut_short_or_endless_or_slow_is_refused_and_the_connection_is_given_up() {
    let house =
        House::with(Limits { body_timeout: Duration::from_millis(200), ..Limits::default() });
    let house = house.await;
    let announced = |length: usize| format!("{}Content-Length: {length}\r\n\r\n", house.head(POST));

    // Cut short: what came would be a whole grant.
    let mut stream = TcpStream::connect(house.address()).await.unwrap();
    stream.write_all((announced(GRANT.len() + 1) + GRANT).as_bytes()).await.unwrap();
    stream.shutdown().await.unwrap();
    let mut short = String::new();
    timeout(PATIENCE, stream.read_to_string(&mut short)).await.unwrap().unwrap();
    assert_eq!(statuses(&short), ["400"], "{short}");
    let bad_chunk = house.head(POST) + "Transfer-Encoding: chunked\r\n\r\nzz\r\n" + GRANT;
    let bad_chunk = house.tell(bad_chunk).await;
    assert_eq!(statuses(&bad_chunk), ["400"], "{bad_chunk}");

    // Slow and endless: the sender still waits for us, and is told.
    let endless = "x".repeat(Limits::default().max_body_bytes + 1024 * 1024 + 1);
    for (sent, status) in [(GRANT, "408"), (&endless, "413")] {
        let mut stream = TcpStream::connect(house.address()).await.unwrap();
        stream.write_all(announced(8 * 1024 * 1024).as_bytes()).await.unwrap();
        stream.write_all(sent.as_bytes()).await.unwrap();
        let mut said = String::new();
        timeout(PATIENCE, stream.read_to_string(&mut said)).await.unwrap().unwrap();
        assert_eq!(statuses(&said), [status], "{said}");
        let said = said.to_lowercase();
        for expected in ["connection: close", "cache-control: no-store", "\"invalid_request\""] {
            assert!(said.contains(expected), "{expected} in {said}");
        }
    }
}

/// 9
#[tokio::test]
async fn a_client_may_wait_to_be_told_to_continue_or_not() {
    let house = House::new().await;
    let head = house.head(POST) + "Connection: close\r\nExpect: 100-continue\r\n";
    let head = format!("{head}Content-Length: {}\r\n\r\n", GRANT.len());
    let mut stream = TcpStream::connect(house.address()).await.unwrap();
    stream.write_all(head.as_bytes()).await.unwrap();
    read_until(&mut stream, "HTTP/1.1 100 Continue\r\n\r\n").await;
    stream.write_all(GRANT.as_bytes()).await.unwrap();
    let said = read_until(&mut stream, "access_token").await;
    assert_eq!(statuses(&said), ["200"], "{said}");

    let said = house.tell(head + GRANT).await;
    assert_eq!(statuses(&said).last(), Some(&"200"), "{said}");
}

/// 8: old and odd request lines are served or refused, and never believed about who we are.
#[tokio::test]
async fn what_a_request_says_of_the_host_is_of_no_consequence() {
    let house = House::new().await;
    let body = format!("Connection: close\r\nContent-Length: {}\r\n\r\n{GRANT}", GRANT.len());
    let nameless = house.head(POST).replace("Host: x\r\n", "");
    let old = house.head("POST /oauth2/token HTTP/1.0").replace("Host: x\r\n", "");
    let absolute = house.head("POST http://evil.test/oauth2/token HTTP/1.1");
    for head in [nameless, old, absolute, house.head(POST).replace("Host: x", "Host: evil.test")] {
        let said = house.tell(format!("{head}{body}")).await;
        assert!(said.starts_with("HTTP/1.") && !said.contains("evil"), "{head}{said}");
        assert!(said[9..].starts_with("200") || said[9..].starts_with("400"), "{said}");
    }
    let path = "/.well-known/oauth-authorization-server";
    let issuer = format!("\"issuer\":\"{}\"", house.node.node.issuer());
    for line in [format!("GET {path} HTTP/1.1"), format!("GET http://evil.test{path} HTTP/1.1")] {
        let forwarded =
            "Connection: close\r\nForwarded: host=evil.test\r\nX-Forwarded-Host: evil.test\r\n";
        let said = house.tell(format!("{line}\r\nHost: evil.test\r\n{forwarded}\r\n")).await;
        assert!(said.contains(&issuer) && !said.contains("evil"), "{said}");
    }
}

/// 18: where two readers could disagree on where a request ends, there is no second request.
#[tokio::test]
async fn a_request_whose_length_is_ambiguous_smuggles_nothing() {
    let house = House::new().await;
    let hidden = house.last_request(POST, GRANT);
    let chunked = "Transfer-Encoding: chunked\r\n";
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
        let said = house.tell(format!("{}{lines}\r\n{hidden}", house.head(POST))).await;
        assert_eq!(statuses(&said), ["400"], "{lines}{said}");
    }
    // Who believes the length sees one request here, and who believes the chunks sees two.
    let two = format!("Content-Length: {}\r\n{chunked}\r\n0\r\n\r\n{hidden}", hidden.len() + 5);
    let said = house.tell(house.head(POST) + &two).await;
    assert_eq!(statuses(&said), ["400"], "{said}");
    for lines in ["X: a\0b\r\n".to_owned(), format!("X: {}\r\n", "x".repeat(200_000))] {
        let said = house.tell(house.head(POST) + &lines + "\r\n").await;
        assert!(matches!(statuses(&said)[..], [] | ["400" | "431"]), "{said}");
    }
}
