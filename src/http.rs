//! The HTTP form of the RPCs: what a client that speaks plain OAuth sends and reads.
//!
//! ```text
//! request ─ router ─ form_request ─ form ─ token, introspect or revoke ─ TokenService
//!           path,    query, type,   names,  form → message → RPC            │
//!           method   size, time     values                                  ▼
//! answer ◄────────── cache headers ◄─────── JSON, or error_response ◄─ message or status
//! ```
//!
//! It has no rule of its own beyond the syntax of HTTP and of forms. Who may do what, and how Basic
//! credentials are read, is said by the service behind it, which may be in this process or far away
//! ([`Transport`]); so both faces of Jeton answer alike.

mod error_response;
mod form;
mod form_request;
mod introspect;
mod metadata;
mod request_error;
mod revoke;
mod token;

use std::{convert::Infallible, sync::Arc, time::Duration};

use axum::{
    Router,
    http::{Extensions, HeaderMap, HeaderValue, Request, Response, StatusCode, header},
    middleware::map_response,
    response::IntoResponse,
    routing::{get, post},
};
use bytes::Bytes;
use http_body::Body;
use serde::Serialize;
use tonic::{Status, metadata::MetadataMap, transport::Channel};
use tower::{
    Service,
    util::{BoxCloneSyncService, MapErr, MapResponse},
};

use self::{error_response::ErrorResponse, form_request::Drained};
use crate::pb::v1::token_service_client::TokenServiceClient;

const TOKEN_PATH: &str = "/oauth2/token";
const INTROSPECTION_PATH: &str = "/oauth2/introspect";
const REVOCATION_PATH: &str = "/oauth2/revoke";

/// Enough for every request of every endpoint, with room for long lists of resources.
pub const DEFAULT_MAX_BODY_BYTES: usize = 16 * 1024;

/// What the shim is told when it is built.
#[derive(Debug, Clone)]
pub struct Options {
    /// The issuer, without a slash at its end. The endpoints in the metadata begin with it.
    pub issuer: String,
    /// How long a body may be. Default: [`DEFAULT_MAX_BODY_BYTES`].
    pub max_body_bytes: usize,
    /// How long a body may take to arrive, from its first byte to its last.
    pub body_timeout: Duration,
    /// The deadline that each RPC is given.
    pub request_timeout: Duration,
}

/// The way to the service. One type for both, so that the shim cannot tell them apart.
///
/// Its error is tonic's and not a boxed `dyn Error`: with that one the calls are not `Send` enough
/// for a handler of axum.
pub type Transport = BoxCloneSyncService<
    Request<tonic::body::Body>,
    Response<tonic::body::Body>,
    tonic::transport::Error,
>;

/// A transport to the service in this process: what gRPC callers reach, with all that stands around
/// it, so that deadlines, panics and limits are the same for both.
pub fn local<S, B>(service: S) -> Transport
where
    S: Service<Request<tonic::body::Body>, Response = Response<B>, Error = Infallible>,
    S: Clone + Send + Sync + 'static,
    S::Future: Send + 'static,
    B: Body<Data = Bytes, Error: Into<axum::BoxError>> + Send + 'static,
{
    let service =
        MapResponse::new(service, |answer: Response<B>| answer.map(tonic::body::Body::new));
    Transport::new(MapErr::new(service, |impossible: Infallible| match impossible {}))
}

/// A transport to a remote node.
#[must_use]
pub fn remote(channel: Channel) -> Transport {
    Transport::new(channel)
}

/// The endpoints, before the service that `transport` leads to.
pub fn router(transport: Transport, options: Options) -> Router {
    let metadata_paths = metadata::paths(&options.issuer);
    let shim = Arc::new(Shim { client: TokenServiceClient::new(transport), options });

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
    client: TokenServiceClient<Transport>,
    options: Options,
}

impl Shim {
    /// A client for one call; the transport beneath is shared.
    fn client(&self) -> TokenServiceClient<Transport> {
        self.client.clone()
    }

    /// Wraps a message into a call in the caller's name. Nothing travels in extensions, since they
    /// would reach a service in this process and not a remote one.
    fn rpc_request<T>(&self, authorization: HeaderMap, message: T) -> tonic::Request<T> {
        let metadata = MetadataMap::from_headers(authorization);
        let mut request = tonic::Request::from_parts(metadata, Extensions::new(), message);
        request.set_timeout(self.options.request_timeout);
        request
    }

    /// Waits for a call until its deadline. The deadline travels with the call, but a transport to
    /// a remote node heeds it only once it is connected: while a node is off, callers would wait in
    /// line, each for an attempt to connect of its own.
    async fn within_deadline<T>(
        &self,
        call: impl Future<Output = Result<tonic::Response<T>, Status>>,
    ) -> Result<T, Status> {
        let answered = tokio::time::timeout(self.options.request_timeout, call).await;
        let late = |_| Status::deadline_exceeded("the deadline passed");
        Ok(answered.map_err(late)??.into_inner())
    }
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
