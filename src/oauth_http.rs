//! The HTTP shim: turns plain OAuth requests into RPCs, and their results into OAuth responses.
//!
//! ```text
//! request ─ router ─ form_request ─ form ─ token, introspect or revoke ─ TokenService
//!           path,    query, type,   names,  form → message → method         │
//!           method   size, time     values                                  ▼
//! response ◄──────── cache headers ◄─────── JSON, or error_response ◄─ message or status
//! ```
//!
//! It has no rules of its own beyond the syntax of HTTP and of forms. Authorization and the parsing
//! of Basic credentials belong to the service behind it: the one in this process, which is called
//! directly, or the one of a remote node. So both transports give the same answers.

mod error_response;
mod form;
mod form_request;
mod framing;
mod introspect;
mod metadata;
mod rate_limit;
mod request_error;
mod revoke;
mod token;

use std::{sync::Arc, time::Duration};

use axum::{
    Router,
    http::{HeaderValue, StatusCode, header},
    middleware::map_response,
    response::{IntoResponse, Response},
    routing::{get, post},
};
use serde::Serialize;

pub(crate) use self::framing::StrictHttp;
use self::{error_response::ErrorResponse, form_request::Drained};
use crate::pb::v1::token_service_server::TokenService;

const TOKEN_PATH: &str = "/oauth2/token";
const INTROSPECTION_PATH: &str = "/oauth2/introspect";
const REVOCATION_PATH: &str = "/oauth2/revoke";

/// Settings of the shim.
#[derive(Debug, Clone)]
pub struct Options {
    /// Issuer URL without a trailing slash. The endpoint URLs in the metadata begin with it.
    pub issuer: String,
    /// Maximum length of a request body, in bytes.
    pub max_body_bytes: usize,
    /// Timeout for a body to arrive, counted from the end of the request headers.
    pub body_timeout: Duration,
}

/// Router of the endpoints, in front of a service in this process or on a remote node.
pub fn router(service: Arc<dyn TokenService>, options: Options) -> Router {
    let metadata_paths = metadata::paths(&options.issuer);
    let shim = Arc::new(Shim { service, options });

    // An issuer's path may contain any character, and none of them is part of a route pattern.
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

/// Paths of all endpoints for this issuer.
#[must_use]
pub fn paths(issuer: &str) -> Vec<String> {
    let endpoints = [TOKEN_PATH, INTROSPECTION_PATH, REVOCATION_PATH].map(str::to_owned);
    endpoints.into_iter().chain(metadata::paths(issuer)).collect()
}

/// State shared by the endpoints.
struct Shim {
    service: Arc<dyn TokenService>,
    options: Options,
}

fn json(status: StatusCode, body: &impl Serialize) -> Response {
    let bytes =
        serde_json::to_vec(body).expect("strings and numbers can always be written as JSON");
    (status, [(header::CONTENT_TYPE, "application/json")], bytes).into_response()
}

/// Forbids caching. RFC 6749, section 5.1, requires both headers on a response that contains a
/// token. They are set on every response, errors included, that has no `Cache-Control` of its own:
/// an error reveals something about credentials too.
async fn forbid_caching(mut response: Response) -> Response {
    let headers = response.headers_mut();
    if !headers.contains_key(header::CACHE_CONTROL) {
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.insert(header::PRAGMA, HeaderValue::from_static("no-cache"));
    }
    response
}
