//! What a hostile or broken peer can do to a listener, over real sockets: each test is named for
//! what is promised, with the failure class (FC) or fault (M) that it stands for in a comment.
//!
//! Limits are short here, so that a deadline can be seen to pass. None of these concerns the
//! database, so one kind is enough.

mod certificates;
mod crowd;
mod deadlines;
mod descriptors;
mod drain;
mod handshakes;
mod http2;
mod streams;
mod tls;

use std::{net::SocketAddr, time::Duration};

use jeton::{net::Limits, pb::v1::token_service_client::TokenServiceClient};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use crate::support::{
    Kind, TestNode, TestNodeOptions,
    node::{Credentials, issue_request},
    raw_h2::LONG,
};

/// Short enough to wait for, long enough for an honest client on a busy machine.
const SOON: Duration = Duration::from_millis(750);

/// The first deadline is short, and no other one ends a connection while a test waits.
fn short_handshake() -> Limits {
    Limits { handshake_timeout: SOON, ..Limits::default() }
}

/// A node under attack, and a client that shall not notice.
struct Attacked {
    node: TestNode,
    good: Credentials,
}

impl Attacked {
    async fn start(limits: Limits) -> Self {
        let options = TestNodeOptions { limits, ..Default::default() };
        let node = TestNode::start_with(Kind::Sqlite, options).await;
        let good = node.client("good").await;
        Self { node, good }
    }

    fn grpc(&self) -> SocketAddr {
        self.node.node.grpc_addr()
    }

    fn http(&self) -> SocketAddr {
        self.node.node.http_addr()
    }

    /// The good client is answered on both faces. Its connections are new: tonic's client fails a
    /// call that it is given in the moment in which the server says that an old one ends.
    async fn still_serves(&self) {
        let answers = async {
            let url = format!("http://{}", self.grpc());
            let mut client = TokenServiceClient::connect(url).await.unwrap();
            client.issue_token(issue_request(&self.good)).await.unwrap();
            metadata(self.http()).await;
        };
        timeout(LONG, answers).await.expect("the good client is not answered");
    }
}

/// Asks for the metadata on a connection of its own.
async fn metadata(http: SocketAddr) {
    metadata_over(TcpStream::connect(http).await.unwrap()).await;
}

/// Asks for the metadata, once, on a connection that is open.
async fn metadata_over(mut stream: impl AsyncRead + AsyncWrite + Unpin) {
    let request = "GET /.well-known/oauth-authorization-server HTTP/1.1\r\nhost: localhost\r\n\
                   connection: close\r\n\r\n";
    stream.write_all(request.as_bytes()).await.unwrap();
    let said = closed(&mut stream).await;
    assert!(said.starts_with("HTTP/1.1 200"), "{said}");
}

/// Waits until the server closes a connection, and returns what it said before.
async fn closed(stream: &mut (impl AsyncRead + Unpin)) -> String {
    let mut said = Vec::new();
    // A connection that is reset is closed as well.
    let _ = timeout(LONG, stream.read_to_end(&mut said)).await.expect("it stays open");
    String::from_utf8_lossy(&said).into_owned()
}
