//! A plain HTTP/1.1 client that changes nothing of what it is told to send.

use std::net::SocketAddr;

use ::http::{HeaderMap, Request, StatusCode, header};
use base64::{Engine, engine::general_purpose::STANDARD};
use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpSocket;

use super::everything;

pub(crate) const FORM: &str = "application/x-www-form-urlencoded";

#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error} in {:?}", self.body))
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

pub(crate) async fn get(address: SocketAddr, path: &str) -> Answer {
    send(address, Request::get(path).body(Vec::new()).unwrap()).await
}

pub(crate) async fn send(address: SocketAddr, request: Request<Vec<u8>>) -> Answer {
    send_from("127.0.0.1:0".parse().unwrap(), address, request).await
}

/// Sends from an address of this machine, of which Linux has sixteen million.
pub(crate) async fn send_from(
    from: SocketAddr,
    address: SocketAddr,
    request: Request<Vec<u8>>,
) -> Answer {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(from).unwrap();
    let stream = socket.connect(address).await.unwrap();
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
    let connection = tokio::spawn(connection);
    let mut request = request.map(|body| Full::new(Bytes::from(body)));
    request.headers_mut().entry(header::HOST).or_insert("localhost".parse().unwrap());
    let answer = sender.send_request(request).await.unwrap();
    let (parts, body) = answer.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    connection.abort();
    let text = String::from_utf8_lossy(&body);
    if parts.status.is_success() {
        everything::note_secrets_in(&text);
    } else {
        everything::keep("refusals", &format!("{:?} {text}", parts.headers));
    }
    Answer { status: parts.status, headers: parts.headers, body }
}

/// Posts a form with Basic authentication, as `curl -u` sends it.
pub(crate) async fn post_form(
    address: SocketAddr,
    path: &str,
    client_id: &str,
    secret: &str,
    form: &str,
) -> Answer {
    let request = Request::post(path)
        .header(header::CONTENT_TYPE, FORM)
        .header(header::AUTHORIZATION, basic(client_id, secret))
        .body(form.as_bytes().to_vec())
        .unwrap();
    send(address, request).await
}

pub(crate) fn basic(client_id: &str, secret: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{client_id}:{secret}")))
}

/// Asserts that an answer gave a token `lifetime` seconds, less what the
/// answer itself took on a busy machine.
///
/// `expires_in` is what is left when the answer is written (RFC 6749, section
/// 5.1), so a test of a real node must not expect the whole lifetime.
#[track_caller]
pub(crate) fn assert_expires_in(seconds: i64, lifetime: i64) {
    assert!((lifetime - 30..=lifetime).contains(&seconds), "{seconds} s of {lifetime} s");
}
