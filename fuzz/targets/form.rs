//! A body, through the whole shim to the message that the node receives, beside the parser of the
//! URL standard: the message is what was sent, and a refusal has a cause.

use axum::{
    body::Body,
    http::{Method, Request, header},
};
use jeton::{
    fuzzing::{DecodeError, decode_any_text},
    pb::v1::{
        ClientAuthentication, ClientCredentialsGrant, IntrospectTokenRequest, IssueTokenRequest,
        RevokeTokenRequest, issue_token_request::Grant,
    },
};
use prost::Message;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

use super::{
    form_encoding::has_bare_percent,
    played_node::{MAX_BODY_BYTES, PlayedNode},
};

const KNOWN: [&str; 9] = [
    "grant_type",
    "scope",
    "resource",
    "client_id",
    "client_secret",
    "client_assertion",
    "client_assertion_type",
    "token",
    "token_type_hint",
];

thread_local! {
    static NODE: PlayedNode = PlayedNode::new();
}

pub(super) fn target(data: &[u8]) {
    // The three endpoints share the parser, so that one of them an input is enough.
    const PATHS: [&str; 3] = ["/oauth2/token", "/oauth2/introspect", "/oauth2/revoke"];
    let path = PATHS[data.len() % 3];
    let request = Request::post(path)
        .header(header::HOST, "localhost")
        .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
        .body(Body::from(data.to_vec()))
        .expect("a fair request");
    // An error that the shim itself never makes, so that the two can be told apart.
    let details = ErrorDetails::with_error_info("INVALID_TARGET", "jeton", []);
    let status = Status::with_error_details(Code::InvalidArgument, "as told", details);
    let (answer, message) = NODE.with(|node| node.call(status, request));

    answer.check(&Method::POST);
    assert_eq!(message.is_none(), must_refuse(data), "{}: {answer:?}", data.escape_ascii());
    let error = if message.is_some() { "invalid_target" } else { "invalid_request" };
    assert_eq!(answer.members()["error"], error);
    if let Some(message) = message {
        compare(path, &message, &Form(parameters(data)));
    }
}

/// Whether one of the faults is there that a form can have.
fn must_refuse(data: &[u8]) -> bool {
    let parameters = parameters(data);
    let is_known = |name: &str| KNOWN.contains(&name);
    let repeats = |name: &&str| parameters.iter().filter(|(other, _)| other == name).count() > 1;
    data.len() > MAX_BODY_BYTES
        || data.split(|byte| *byte == b'&').count() > 64
        || has_bare_percent(data)
        || !is_utf8(data)
        || KNOWN.iter().filter(|name| **name != "resource").any(repeats)
        || parameters.iter().any(|(n, value)| is_known(n) && value.chars().any(char::is_control))
}

/// Every name and every value alone: the halves of a character on both sides of a `=` are none.
/// Its own target holds the decoder to the lenient one.
fn is_utf8(data: &[u8]) -> bool {
    let mut pieces = data.split(|byte| *byte == b'&');
    pieces.all(|piece| {
        let mut halves = piece.splitn(2, |byte| *byte == b'=');
        halves.all(|half| decode_any_text(half) != Err(DecodeError::NotUtf8))
    })
}

fn parameters(data: &[u8]) -> Vec<(String, String)> {
    let pairs = form_urlencoded::parse(data);
    pairs.map(|(name, value)| (name.into_owned(), value.into_owned())).collect()
}

struct Form(Vec<(String, String)>);

impl Form {
    fn all(&self, name: &str) -> Vec<String> {
        let named = self.0.iter().filter(|(other, value)| other == name && !value.is_empty());
        named.map(|(_, value)| value.clone()).collect()
    }

    fn one(&self, name: &str) -> String {
        self.all(name).pop().unwrap_or_default()
    }

    fn client_authentication(&self) -> Option<ClientAuthentication> {
        let (client_id, client_secret) = (self.one("client_id"), self.one("client_secret"));
        let is_none = client_id.is_empty() && client_secret.is_empty();
        (!is_none).then_some(ClientAuthentication { client_id, client_secret })
    }

    fn grant(&self) -> Option<Grant> {
        let name = self.all("grant_type").pop()?;
        Some(if name == "client_credentials" {
            Grant::ClientCredentials(ClientCredentialsGrant {})
        } else {
            Grant::OtherGrantType(name)
        })
    }
}

/// The message holds each parameter with a value, and nothing else.
fn compare(path: &str, message: &[u8], form: &Form) {
    let (token, token_type_hint) = (form.one("token"), form.one("token_type_hint"));
    let client_authentication = form.client_authentication();
    match path {
        "/oauth2/token" => {
            let scope = form.one("scope");
            let scopes = scope.split(' ').filter(|_| !scope.is_empty()).map(str::to_owned);
            let expected = IssueTokenRequest {
                grant: form.grant(),
                scopes: scopes.collect(),
                resources: form.all("resource"),
                client_authentication,
            };
            assert_eq!(IssueTokenRequest::decode(message), Ok(expected));
        }
        "/oauth2/introspect" => {
            let expected = IntrospectTokenRequest { token, token_type_hint, client_authentication };
            assert_eq!(IntrospectTokenRequest::decode(message), Ok(expected));
        }
        _ => {
            let expected = RevokeTokenRequest { token, token_type_hint, client_authentication };
            assert_eq!(RevokeTokenRequest::decode(message), Ok(expected));
        }
    }
}
