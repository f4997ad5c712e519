//! The HTTP shim: turns plain OAuth requests into RPCs, and their results into OAuth responses.
//!
//! ```text
//! request ─ endpoint ─ form_request ─ form ─ token, introspect, revoke … ─ TokenService
//!           path,      query, type,   names,  form → message → method         │
//!           method     size, time     values                                  ▼
//! response ◄──────── cache headers ◄─────── JSON, or error_response ◄─ message or status
//! ```
//!
//! It has no rules of its own beyond the syntax of HTTP and of forms. Authorization and the parsing
//! of Basic credentials belong to the service behind it: the one in this process, which is called
//! directly, or the one of a remote node. So both transports give the same answers.

mod endpoint;
mod error_response;
mod form;
mod form_request;
mod framing;
mod introspect;
mod metadata;
mod rate_limit;
mod report;
mod request_error;
mod revoke;
mod token;

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode, header};
use http_body::Body;
use http_body_util::Full;
use serde::Serialize;

pub(crate) use self::framing::StrictHttp;
use self::{
    endpoint::Endpoint,
    error_response::ErrorResponse,
    form_request::{FormRequest, drain},
};
use crate::pb::v1::token_service_server::TokenService;

/// A response. Its body is in one piece, so it leaves in one write with the header.
type Response = http::Response<Full<Bytes>>;

const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// Bytes allocated for a JSON text. Most are shorter.
const USUAL_JSON: usize = 512;

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

/// The endpoints, in front of a service in this process or on a remote node. Clones share it.
///
/// There are five paths, so they are compared one by one. A router of axum would box the request,
/// its body, the response and three futures for each request.
#[derive(Clone)]
pub struct Endpoints(Arc<Shim>);

/// State shared by the endpoints.
struct Shim {
    service: Arc<dyn TokenService>,
    options: Options,
    metadata_paths: Vec<String>,
}

impl Endpoints {
    /// Endpoints in front of this service.
    #[must_use]
    pub fn new(service: Arc<dyn TokenService>, options: Options) -> Self {
        let metadata_paths = metadata::paths(&options.issuer);
        Self(Arc::new(Shim { service, options, metadata_paths }))
    }

    /// Answers a request.
    pub async fn answer<B>(&self, request: Request<B>) -> Response
    where
        B: Body<Data = Bytes> + Unpin,
    {
        let is_head = request.method() == Method::HEAD;
        let answered = self.0.answer(request).await;
        let mut response = answered.unwrap_or_else(ErrorResponse::into_response);
        forbid_caching(response.headers_mut());
        if is_head { without_body(response) } else { response }
    }
}

impl Shim {
    async fn answer<B>(&self, request: Request<B>) -> Result<Response, ErrorResponse>
    where
        B: Body<Data = Bytes> + Unpin,
    {
        let options = &self.options;
        let Some(endpoint) = Endpoint::at(request.uri().path(), &self.metadata_paths) else {
            drain(request.into_body(), options).await?;
            return Err(ErrorResponse::not_found());
        };
        if !endpoint.supports(request.method()) {
            drain(request.into_body(), options).await?;
            return Err(ErrorResponse::method_not_allowed(endpoint.allow()));
        }
        let service = &*self.service;
        match endpoint {
            Endpoint::Token => {
                let form = FormRequest::read(request, options).await?;
                Ok(token::answer(service, form).await)
            }
            Endpoint::Introspection => {
                let form = FormRequest::read(request, options).await?;
                introspect::answer(service, form).await
            }
            Endpoint::Revocation => {
                let form = FormRequest::read(request, options).await?;
                revoke::answer(service, form).await
            }
            Endpoint::LeakReport => {
                let form = FormRequest::read(request, options).await?;
                report::answer(service, form).await
            }
            Endpoint::Metadata => {
                drain(request.into_body(), options).await?;
                Ok(metadata::document(&options.issuer))
            }
        }
    }
}

/// Paths of all endpoints for this issuer.
#[must_use]
pub fn paths(issuer: &str) -> Vec<String> {
    endpoint::PATHS.map(str::to_owned).into_iter().chain(metadata::paths(issuer)).collect()
}

fn json(status: StatusCode, body: &impl Serialize) -> Response {
    let mut text = Vec::with_capacity(USUAL_JSON);
    serde_json::to_writer(&mut text, body)
        .expect("strings and numbers can always be written as JSON");
    let mut response = Response::new(Full::from(text));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, JSON);
    response
}

/// Forbids caching. RFC 6749, section 5.1, requires both headers on a response that contains a
/// token. They are set on every response, errors included, that has no `Cache-Control` of its own:
/// an error reveals something about credentials too.
fn forbid_caching(headers: &mut HeaderMap) {
    if !headers.contains_key(header::CACHE_CONTROL) {
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.insert(header::PRAGMA, HeaderValue::from_static("no-cache"));
    }
}

/// The response to HEAD: the headers of the response to GET (RFC 9110, section 9.3.2).
fn without_body(mut response: Response) -> Response {
    let length = response.body().size_hint().exact().unwrap_or_default();
    response.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    response.map(|_| Full::default())
}
