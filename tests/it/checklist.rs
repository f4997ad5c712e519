//! The rules of OAuth over HTTP, as requests and answers. Each test is tried over HTTP/1.1 and
//! HTTP/2, with and without TLS; one that asks for less says why.
//!
//! `docs/rules.md` numbers the rules. A comment or a message that begins with numbers and a colon
//! names the rules that are tried there, and `tests/tidy.rs` sees that none is left out.

mod answers;
mod bodies;
mod bytes;
mod clients;
mod forms;
mod introspection;
mod metadata;
mod refusals;
mod revocation;
mod scopes;
mod target;

use std::{
    sync::{Arc, atomic::Ordering},
    thread,
};

use ::http::{HeaderMap, Request, header};
use jeton::{
    domain::{Clock, SystemClock},
    net::tls::{self, Tls},
};

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
const METADATA: &str = "/.well-known/oauth-authorization-server";

const CHALLENGE: &str = r#"Basic realm="jeton", charset="UTF-8""#;

/// What is tried, with the numbers of its rules; the request; the status; the OAuth error, if any.
type Row = (&'static str, Request<Vec<u8>>, u16, &'static str);

/// Two nodes on one database, the second of them with TLS, and clients that both know.
struct House {
    nodes: [TestNode; 2],
    wires: Vec<Wire>,
    client: Credentials,
    server: Credentials,
}

/// A test that leaves out a wire proves less than its place here says.
impl Drop for House {
    fn drop(&mut self) {
        let unused = |wire: &&Wire| wire.uses.load(Ordering::Relaxed) == 0;
        if let Some(wire) = self.wires.iter().find(unused)
            && !thread::panicking()
        {
            panic!("nothing was tried over {}", wire.name());
        }
    }
}

impl House {
    async fn new() -> Self {
        Self::with(TestNodeOptions::default()).await
    }

    async fn with(options: TestNodeOptions) -> Self {
        let plain = TestNode::start_with(Kind::Sqlite, options.clone()).await;
        let client = plain.client("orders").await;
        let server = plain.resource_server("api").await;
        let directory = plain.database.dir.path();
        let files = tls::self_signed(directory, &[], SystemClock.now().into()).await.unwrap();
        let pem = std::fs::read(&files.cert).unwrap();
        let tls = Some(Arc::new(Tls::load(files).unwrap()));
        let secured = TestNode::beside(&plain, TestNodeOptions { tls, ..options }).await;
        let wires = [
            Wire::both(plain.node.http_addr(), None),
            Wire::both(secured.node.http_addr(), Some(&pem)),
        ]
        .concat();
        Self { nodes: [plain, secured], wires, client, server }
    }

    /// For what HTTP/2 does not have, or gRPC.
    fn without_h2(mut self) -> Self {
        self.wires.retain(|wire| !wire.is_h2);
        self
    }

    fn basic(&self) -> String {
        basic(self.client.id(), self.client.secret())
    }

    /// A request to an endpoint with the client's credentials.
    fn post(&self, path: &str, form: &str) -> Request<Vec<u8>> {
        post(path, form, Some(&self.basic()))
    }

    async fn check(&self, rows: impl IntoIterator<Item = Row>) {
        for (rule, request, status, error) in rows {
            for wire in &self.wires {
                let path = request.uri().path();
                let context = format!("{rule} ({path}, {})", wire.name());
                let answer = wire.send(request.clone()).await;
                assert_eq!(answer.status.as_u16(), status, "{context}: {:?}", answer.body);
                assert_sound(&answer, path, &context);
                if !error.is_empty() {
                    assert_eq!(answer.json()["error"], error, "{context}");
                }
            }
        }
    }

    /// A token of the client.
    async fn issue(&self) -> String {
        self.nodes[0].issue(&self.client).await.unwrap().access_token
    }
}

/// The error codes that an endpoint may answer with (68).
fn codes(path: &str) -> &'static [&'static str] {
    // Registered for the token endpoint, or borrowed from the authorization endpoint; of those
    // the first four are for every endpoint.
    let codes = &[
        "invalid_request",
        "invalid_client",
        "temporarily_unavailable",
        "server_error",
        "unauthorized_client",
        "unsupported_grant_type",
        "invalid_scope",
        "invalid_target",
    ];
    if path == TOKEN { codes } else { &codes[..4] }
}

/// What every answer has, whatever it says (3, 48, 49, 64, 66 to 69).
fn assert_sound(answer: &Answer, path: &str, context: &str) {
    let status = answer.status.as_u16();
    let caching = (answer.header("cache-control"), answer.header("pragma"));
    assert_eq!(caching, ("no-store", "no-cache"), "{context}");
    let cors = answer.headers.keys().find(|name| name.as_str().starts_with("access-control"));
    assert_eq!(cors, None, "{context}");
    let challenges: Vec<_> = answer.headers.get_all("www-authenticate").iter().collect();
    assert_eq!(challenges, if status == 401 { vec![CHALLENGE] } else { vec![] }, "{context}");
    assert_eq!(answer.header("allow"), if status == 405 { "POST" } else { "" }, "{context}");
    let wait = answer.headers.get("retry-after").map(|wait| wait.to_str().unwrap());
    let wait = wait.map(|seconds| seconds.parse::<u32>().unwrap());
    assert_eq!(wait.is_some_and(|seconds| seconds > 0), matches!(status, 429 | 503), "{context}");
    if status == 200 {
        return;
    }
    assert_eq!(answer.header("content-type"), "application/json", "{context}");
    let body = answer.json();
    for (name, value) in body.as_object().unwrap() {
        assert!(["error", "error_description"].contains(&name.as_str()), "{context}: {body}");
        let text = value.as_str().unwrap();
        let allowed = |b| matches!(b, b' ' | b'!' | b'#'..=b'[' | b']'..=b'~');
        assert!(!text.is_empty() && text.bytes().all(allowed), "{context}: {body}");
        assert!(!text.contains("canary"), "{context}: {body}");
    }
    assert!(codes(path).contains(&body["error"].as_str().unwrap()), "{context}: {body}");
}

/// What an answer says, without what differs between any two.
fn said(answer: &Answer) -> (u16, HeaderMap, Vec<u8>) {
    let mut headers = answer.headers.clone();
    headers.remove("date");
    headers.remove("x-request-id");
    (answer.status.as_u16(), headers, answer.body.to_vec())
}

fn post(path: &str, form: &str, authorization: Option<&str>) -> Request<Vec<u8>> {
    let mut request = Request::post(path).header(header::CONTENT_TYPE, FORM);
    if let Some(value) = authorization {
        request = request.header(header::AUTHORIZATION, value);
    }
    request.body(form.as_bytes().to_vec()).unwrap()
}

fn with(mut request: Request<Vec<u8>>, name: &'static str, value: &str) -> Request<Vec<u8>> {
    request.headers_mut().append(name, value.parse().unwrap());
    request
}

fn typed(mut request: Request<Vec<u8>>, content_type: &str) -> Request<Vec<u8>> {
    request.headers_mut().remove(header::CONTENT_TYPE);
    with(request, "content-type", content_type)
}
