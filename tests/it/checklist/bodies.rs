//! What a body is: its type, its length, its end (7.2). What HTTP/1.1 alone can say is in `bytes`.

use std::{convert::Infallible, time::Duration};

use ::http::{HeaderMap, Request, header};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::{Bytes, Frame};
use jeton::net::Limits;
use tokio_stream::StreamExt;

use super::{ENDPOINTS, GRANT, House, Row, TOKEN, assert_sound, post, typed, with};
use crate::support::{TestNodeOptions, http::FORM, wire::AnyBody};

/// A form that every endpoint takes.
const ANY: &str = "grant_type=client_credentials&token=x";

/// 11–15, 17
#[tokio::test(flavor = "multi_thread")]
async fn a_body_is_a_form_in_utf8_and_nothing_else() {
    let house = House::new().await;
    let mut rows: Vec<Row> = Vec::new();
    for path in ENDPOINTS {
        let of_type = |content_type: &str| typed(house.post(path, ANY), content_type);
        for spelling in [
            FORM,
            "Application/X-WWW-Form-URLEncoded",
            "application/x-www-form-urlencoded;charset=UTF-8",
            "application/x-www-form-urlencoded; charset=\"utf-8\"",
            "application/x-www-form-urlencoded ; CharSet=utf-8 ; a=b",
        ] {
            rows.push(("11: the type, spelled", of_type(spelling), 200, ""));
        }
        let of_charset = |charset: &str| of_type(&format!("{FORM}; charset={charset}"));
        for charset in ["utf8", "ISO-8859-1", "\"us-ascii\""] {
            rows.push(("12: ASCII, of a charset around it", of_charset(charset), 200, ""));
        }
        for charset in ["ISO-8859-1", "us-ascii"] {
            let mut other = of_charset(charset);
            other.body_mut().extend_from_slice("&note=caf\u{e9}".as_bytes());
            rows.push(("12: not ASCII", other, 400, "invalid_request"));
        }
        for charset in ["utf-16", "windows-1252", "\"\""] {
            rows.push(("12: another charset", of_charset(charset), 400, "invalid_request"));
        }
        for other in [
            "application/json",
            "multipart/form-data; boundary=x",
            "text/plain",
            "application/x-www-form-urlencodedxyz",
            "application/*",
            "",
        ] {
            rows.push(("13: another type", of_type(other), 415, "invalid_request"));
        }
        let mut missing = house.post(path, ANY);
        missing.headers_mut().remove(header::CONTENT_TYPE);
        rows.push(("13: no type", missing, 415, "invalid_request"));
        for second in [FORM, "application/json"] {
            let twice = with(house.post(path, ANY), "content-type", second);
            rows.push(("14: two types", twice, 400, "invalid_request"));
        }
        rows.push(("15: no body", house.post(path, ""), 400, "invalid_request"));
        rows.push(("15: no body and nobody", post(path, "", None), 401, "invalid_client"));
        for encoding in ["gzip", "deflate", "br", "identity, gzip"] {
            let packed = with(house.post(path, ANY), "content-encoding", encoding);
            rows.push(("17: compressed", packed, 415, "invalid_request"));
        }
        let plain = with(house.post(path, ANY), "content-encoding", "identity");
        rows.push(("17: said not to be compressed", plain, 200, ""));
    }
    house.check(rows).await;
}

/// 16, 19
#[tokio::test(flavor = "multi_thread")]
async fn a_form_is_bounded_in_bytes_and_in_parameters() {
    let house = House::new().await;
    let mut rows: Vec<Row> = Vec::new();
    for path in ENDPOINTS {
        let of_length = |length: usize| {
            let start = format!("{ANY}&foo=");
            format!("{start}{}", "x".repeat(length - start.len()))
        };
        let longest = house.post(path, &of_length(16 * 1024));
        rows.push(("16: as long as may be", longest, 200, ""));
        let longer = house.post(path, &of_length(16 * 1024 + 1));
        rows.push(("16: a byte too long", longer, 413, "invalid_request"));
        let much = house.post(path, &"&".repeat(65_536));
        rows.push(("16, 19: much too long", much, 413, "invalid_request"));
        let most = house.post(path, &format!("{ANY}{}", "&a=b".repeat(62)));
        rows.push(("19: as many parameters as may be", most, 200, ""));
        for many in
            [format!("{ANY}{}", "&a=b".repeat(63)), "a=b&".repeat(1_000), "&".repeat(16_000)]
        {
            let many = house.post(path, &many);
            rows.push(("19: too many parameters", many, 400, "invalid_request"));
        }
    }
    house.check(rows).await;
}

/// A body that is sent as it comes, without a length. One that does not end leaves the peer waiting.
fn streamed(parts: &[&[u8]], trailers: bool, ends: bool) -> AnyBody {
    let data = parts.iter().map(|part| Frame::data(Bytes::copy_from_slice(part)));
    let mut frames: Vec<_> = data.map(Ok::<_, Infallible>).collect();
    if trailers {
        let value = "a".parse().unwrap();
        let trailers = HeaderMap::from_iter([("trailer-one".parse().unwrap(), value)]);
        frames.push(Ok(Frame::trailers(trailers)));
    }
    let frames = tokio_stream::iter(frames);
    if ends {
        StreamBody::new(frames).boxed()
    } else {
        StreamBody::new(frames.chain(tokio_stream::pending())).boxed()
    }
}

/// 16, 18: a body without a length is measured as it comes, and its trailers are passed over.
#[tokio::test(flavor = "multi_thread")]
async fn a_body_without_a_length_is_bounded_like_any_other() {
    let house = House::new().await;
    for wire in &house.wires {
        let mut line = wire.open().await;
        let (start, rest) = GRANT.as_bytes().split_at(7);
        let long = [b'x'; 4_000].as_slice();
        for (parts, trailers, status) in [
            (vec![start, rest], false, 200),
            (vec![start, rest, b"&scope=re", b"ad"], true, 200),
            (vec![long; 10], false, 413),
            (vec![long; 10], true, 413),
            (vec![start, rest], false, 200),
        ] {
            let request = with(house.post(TOKEN, ""), "trailer", "trailer-one");
            let request = request.map(|_| streamed(&parts, trailers, true));
            let answer = line.try_send(request).await.unwrap();
            assert_eq!(answer.status, status, "{} {parts:?}", wire.name());
            assert_sound(&answer, TOKEN, &wire.name());
        }
    }
}

/// 16, 18: who is slow or does not end is told so, since he still waits for us.
#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_does_not_end_is_refused() {
    let limits = Limits { body_timeout: Duration::from_millis(500), ..Limits::default() };
    let endless = vec![b'x'; limits.max_body_bytes + 1024 * 1024 + 1];
    let house = House::with(TestNodeOptions { limits, ..TestNodeOptions::default() }).await;
    for wire in &house.wires {
        for (sent, status) in [(GRANT.as_bytes(), 408), (&endless, 413)] {
            let request = house.post(TOKEN, "").map(|_| streamed(&[sent], false, false));
            let answer = wire.open().await.try_send(request).await.unwrap();
            assert_eq!(answer.status, status, "{}", wire.name());
            assert_sound(&answer, TOKEN, &wire.name());
            let closes = answer.header("connection") == "close";
            assert_eq!(closes, !wire.is_h2, "on HTTP/2 the stream ends and the connection lives");
        }
    }
}

/// 18: of a body that is not as long as was announced, nothing is believed; HTTP/1.1 is in `bytes`.
#[tokio::test(flavor = "multi_thread")]
async fn a_body_on_http2_that_is_not_as_long_as_announced_is_refused() {
    let mut house = House::new().await;
    house.wires.retain(|wire| wire.is_h2);
    for wire in &house.wires {
        for length in [GRANT.len() - 1, GRANT.len() + 1, 0] {
            let request: Request<_> =
                with(house.post(TOKEN, ""), "content-length", &length.to_string())
                    .map(|_| streamed(&[GRANT.as_bytes()], false, true));
            // The stream may be reset, which is an answer too.
            if let Ok(answer) = wire.open().await.try_send(request).await {
                assert_eq!(answer.status, 400, "{length} on {}", wire.name());
            }
        }
        assert_eq!(wire.send(house.post(TOKEN, GRANT)).await.status, 200);
    }
}

/// 2, 13, 16: an answer is no reason to lose the connection, not even where a body came with it.
#[tokio::test(flavor = "multi_thread")]
async fn after_an_error_the_same_connection_serves_the_next_request() {
    let house = House::new().await;
    let long = format!("{GRANT}&foo={}", "x".repeat(30_000));
    let by = |method: &str, path, body| {
        let mut request = house.post(path, body);
        *request.method_mut() = method.parse().unwrap();
        request
    };
    for wire in &house.wires {
        let mut line = wire.open().await;
        for (request, status) in [
            (by("HEAD", TOKEN, ""), 405),
            (by("GET", TOKEN, GRANT), 405),
            (by("POST", "/nowhere", &long), 404),
            (by("DELETE", "/oauth2/revoke", &long), 405),
            (typed(house.post(TOKEN, "{}"), "application/json"), 415),
            (typed(house.post(TOKEN, &long), "text/plain"), 415),
            (house.post(TOKEN, &long), 413),
            (house.post(TOKEN, "%zz"), 400),
            (house.post(TOKEN, GRANT), 200),
        ] {
            let answer = line.send(request).await;
            assert_eq!(answer.status, status, "{}", wire.name());
        }
    }
}

/// 9: a client that asks whether to go on, and does not wait for it. One that waits is in `bytes`.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_does_not_wait_to_be_told_to_continue_is_served() {
    let house = House::new().await;
    let rows = ENDPOINTS.map(|path| {
        let request = with(house.post(path, ANY), "expect", "100-continue");
        ("9: sent at once", request, 200, "")
    });
    house.check(rows).await;
}
