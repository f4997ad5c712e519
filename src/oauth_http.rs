//! The HTTP form of the RPCs: what a client that speaks plain OAuth sends and reads.
//!
//! ```text
//! request ─ router ─ form_request ─ form ─ token, introspect or revoke ─ TokenService
//!           path,    query, type,   names,  form → message → method         │
//!           method   size, time     values                                  ▼
//! answer ◄────────── cache headers ◄─────── JSON, or error_response ◄─ message or status
//! ```
//!
//! It has no rule of its own beyond the syntax of HTTP and of forms. Who may do what, and how Basic
//! credentials are read, is decided by the service behind it: the one of this process, which is
//! called directly, or that of a node elsewhere. So both transports answer alike.

mod error_response;
mod form;
mod form_request;
mod introspect;
mod metadata;
mod request_error;
mod revoke;
mod token;

use std::{sync::Arc, time::Duration};

use axum::{
    Router,
    http::{HeaderValue, StatusCode, header},
    middleware::map_response,
    response::IntoResponse,
    routing::{get, post},
};
use serde::Serialize;

use self::{error_response::ErrorResponse, form_request::Drained};
use crate::pb::v1::token_service_server::TokenService;

const TOKEN_PATH: &str = "/oauth2/token";
const INTROSPECTION_PATH: &str = "/oauth2/introspect";
const REVOCATION_PATH: &str = "/oauth2/revoke";

/// What the shim is told when it is built.
#[derive(Debug, Clone)]
pub struct Options {
    /// The issuer, without a slash at its end. The endpoints in the metadata begin with it.
    pub issuer: String,
    /// How long a body may be.
    pub max_body_bytes: usize,
    /// How long a body may take to arrive, from its first byte to its last.
    pub body_timeout: Duration,
}

/// The endpoints, before a service in this process or elsewhere.
pub fn router(service: Arc<dyn TokenService>, options: Options) -> Router {
    let metadata_paths = metadata::paths(&options.issuer);
    let shim = Arc::new(Shim { service, options });

    // An issuer's path may hold any character, and none of them is a pattern.
    let mut router = Router::new()
        .without_v07_checks()
        .route(TOKEN_PATH, post(token::endpoint))
        .route(INTROSPECTION_PATH, post(introspect::endpoint))
        .route(REVOCATION_PATH, post(revoke::endpoint));
    for path in metadata_paths {
        let path = path.replace('{', "{{").replace('}', "}}");
        router = router.route(&path, get(metadata::endpoint));
    }
    router
        .fallback(async |_: Drained| ErrorResponse::not_found())
        .method_not_allowed_fallback(async |_: Drained| ErrorResponse::method_not_allowed())
        .layer(map_response(forbid_caching))
        .with_state(shim)
}

/// The paths of the endpoints of this issuer.
#[must_use]
pub fn paths(issuer: &str) -> Vec<String> {
    let endpoints = [TOKEN_PATH, INTROSPECTION_PATH, REVOCATION_PATH].map(str::to_owned);
    endpoints.into_iter().chain(metadata::paths(issuer)).collect()
}

/// What the endpoints share.
struct Shim {
    service: Arc<dyn TokenService>,
    options: Options,
}

fn json(status: StatusCode, body: &impl Serialize) -> axum::response::Response {
    let bytes =
        serde_json::to_vec(body).expect("strings and numbers can always be written as JSON");
    (status, [(header::CONTENT_TYPE, "application/json")], bytes).into_response()
}

/// RFC 6749, section 5.1, wants both headers on what holds a token. They are on every answer,
/// errors included, that does not say how it may be cached: an error tells of credentials too.
async fn forbid_caching(mut response: axum::response::Response) -> axum::response::Response {
    let headers = response.headers_mut();
    if !headers.contains_key(header::CACHE_CONTROL) {
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.insert(header::PRAGMA, HeaderValue::from_static("no-cache"));
    }
    response
}
