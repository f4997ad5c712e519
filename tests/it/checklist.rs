//! The rules of OAuth over HTTP, as a table of requests and answers. Each row is tried over HTTP/1.1
//! and HTTP/2, with and without TLS; `docs/divergences.md` says where the RFCs leave a choice.

mod answers;
mod requests;

use std::sync::Arc;

use ::http::{Request, header};
use jeton::server::tls::{self, Tls};

use crate::support::{
    Kind, TestNode, TestNodeOptions,
    http::{Answer, FORM, basic},
    node::Credentials,
    wire::Wire,
};

const GRANT: &str = "grant_type=client_credentials";
const TOKEN: &str = "/oauth2/token";
const INTROSPECT: &str = "/oauth2/introspect";
const REVOKE: &str = "/oauth2/revoke";
const ENDPOINTS: [&str; 3] = [TOKEN, INTROSPECT, REVOKE];

/// Two nodes, one of them with TLS, and a client that both know.
struct House {
    _nodes: [TestNode; 2],
    wires: Vec<Wire>,
    client: Credentials,
    server: Credentials,
}

impl House {
    async fn new() -> Self {
        let plain = TestNode::start(Kind::Sqlite).await;
        let client = plain.client("orders").await;
        let server = plain.resource_server("api").await;
        let folder = plain.database.dir.path();
        let files = tls::self_signed(folder).unwrap();
        let pem = std::fs::read(&files.cert).unwrap();
        let tls = Some(Arc::new(Tls::load(files).unwrap()));
        let options = TestNodeOptions { tls, ..TestNodeOptions::default() };
        let secured = TestNode::beside(&plain, options).await;
        let wires = [
            Wire::both(plain.node.http_addr(), None),
            Wire::both(secured.node.http_addr(), Some(&pem)),
        ]
        .concat();
        Self { _nodes: [plain, secured], wires, client, server }
    }

    fn basic(&self) -> String {
        basic(self.client.id(), self.client.secret())
    }

    /// A request to an endpoint with the client's credentials.
    fn post(&self, path: &str, form: &str) -> Request<Vec<u8>> {
        self.bare(path, form, Some(&self.basic()))
    }

    #[expect(clippy::unused_self, reason = "it stands beside `post`")]
    fn bare(&self, path: &str, form: &str, authorization: Option<&str>) -> Request<Vec<u8>> {
        let mut request = Request::post(path).header(header::CONTENT_TYPE, FORM);
        if let Some(value) = authorization {
            request = request.header(header::AUTHORIZATION, value);
        }
        request.body(form.as_bytes().to_vec()).unwrap()
    }

    async fn check(&self, rows: Vec<(&str, Request<Vec<u8>>, u16, &str)>) {
        for (rule, request, status, error) in rows {
            for wire in &self.wires {
                let answer = wire.send(request.clone()).await;
                let context = format!("{rule}: h2 {}, tls {}", wire.is_h2, wire.tls.is_some());
                assert_eq!(answer.status.as_u16(), status, "{context}: {:?}", answer.body);
                assert_eq!(answer.header("cache-control"), "no-store", "{context}");
                assert_eq!(answer.header("pragma"), "no-cache", "{context}");
                assert!(answer.headers.get("access-control-allow-origin").is_none(), "{context}");
                if !error.is_empty() {
                    assert_error(&answer, error, &context);
                }
            }
        }
    }
}

/// 66, 67: one JSON object of allowed members in allowed characters.
fn assert_error(answer: &Answer, error: &str, context: &str) {
    assert_eq!(answer.header("content-type"), "application/json", "{context}");
    let body = answer.json();
    assert_eq!(body["error"], error, "{context}: {body}");
    for (name, value) in body.as_object().unwrap() {
        assert!(["error", "error_description"].contains(&name.as_str()), "{context}");
        let text = value.as_str().unwrap();
        assert!(text.bytes().all(|b| matches!(b, b' ' | b'!' | b'#'..=b'[' | b']'..=b'~')));
        assert!(!text.contains("canary"), "{context}: {text}");
    }
    let challenged = answer.headers.get("www-authenticate").is_some();
    assert_eq!(challenged, answer.status == 401, "{context}");
}

fn with(mut request: Request<Vec<u8>>, name: &'static str, value: &str) -> Request<Vec<u8>> {
    request.headers_mut().append(name, value.parse().unwrap());
    request
}

fn typed(request: Request<Vec<u8>>, content_type: &str) -> Request<Vec<u8>> {
    let mut request = request;
    request.headers_mut().remove(header::CONTENT_TYPE);
    with(request, "content-type", content_type)
}
