//! What reaches the HTTP face from peers that keep no rule: bytes that no HTTP client would send,
//! and what is wrong in ways that no client would mean. Numbers are those of the OAuth checklist.
//!
//! The table of requests that a client can send is in `checklist`.

mod connection;
mod refusals;

use std::{net::SocketAddr, time::Duration};

use jeton::server::Limits;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use crate::support::{
    Kind, TestNode, TestNodeOptions,
    http::{FORM, basic},
    node::Credentials,
};

const GRANT: &str = "grant_type=client_credentials";
const ENDPOINTS: [&str; 3] = ["/oauth2/token", "/oauth2/introspect", "/oauth2/revoke"];

/// Longer than anything here takes: it turns a test that would hang into one that fails.
const PATIENCE: Duration = Duration::from_secs(20);

struct House {
    node: TestNode,
    client: Credentials,
}

impl House {
    async fn new() -> Self {
        Self::with(Limits::default()).await
    }

    async fn with(limits: Limits) -> Self {
        let options = TestNodeOptions { limits, ..TestNodeOptions::default() };
        let node = TestNode::start_with(Kind::Sqlite, options).await;
        let client = node.client("orders").await;
        Self { node, client }
    }

    fn address(&self) -> SocketAddr {
        self.node.node.http_addr()
    }

    fn basic(&self) -> String {
        basic(self.client.id(), self.client.secret())
    }

    /// The head of a request, to which a test adds lines of its own.
    fn head(&self, line: &str) -> String {
        let authorization = self.basic();
        format!("{line}\r\nHost: x\r\nContent-Type: {FORM}\r\nAuthorization: {authorization}\r\n")
    }

    /// A whole request to the token endpoint.
    fn request(&self, line: &str, body: &str) -> String {
        format!("{}Content-Length: {}\r\n\r\n{body}", self.head(line), body.len())
    }

    /// The same, after which the node closes the connection.
    fn last_request(&self, line: &str, body: &str) -> String {
        self.request(&format!("{line}\r\nConnection: close"), body)
    }

    /// Sends these bytes, and returns all that is answered until the node closes the connection.
    async fn tell(&self, text: impl AsRef<str>) -> String {
        let mut stream = TcpStream::connect(self.address()).await.unwrap();
        let mut answer = Vec::new();
        // Whoever is cut off while still talking may find that the answer was lost on the way.
        if stream.write_all(text.as_ref().as_bytes()).await.is_ok() {
            let _ = timeout(PATIENCE, stream.read_to_end(&mut answer)).await.unwrap();
        }
        String::from_utf8(answer).unwrap()
    }
}

/// The statuses of all answers of a conversation.
fn statuses(said: &str) -> Vec<&str> {
    said.split("HTTP/1.1 ").skip(1).map(|answer| &answer[..3]).collect()
}

/// Reads until `wanted` was said.
async fn read_until(stream: &mut TcpStream, wanted: &str) -> String {
    let mut said = Vec::new();
    while !String::from_utf8_lossy(&said).contains(wanted) {
        let read = timeout(PATIENCE, stream.read_buf(&mut said)).await.unwrap().unwrap();
        assert!(read > 0, "the end came before {wanted}: {}", String::from_utf8_lossy(&said));
    }
    String::from_utf8(said).unwrap()
}
