//! Rules for the headers of every request and every response, whatever its endpoint.
//!
//! Those of a request are rules of HTTP/1.1 without which a proxy in front of us could read a
//! request otherwise than we do (RFC 9112, sections 3.2 and 6.1).

use std::net::IpAddr;

use bytes::Bytes;
use futures_util::FutureExt;
use http::{HeaderValue, Request, Version, header};
use http_body_util::Full;
use hyper::body::Incoming;

use super::{Endpoints, Response, error_response::ErrorResponse, forbid_caching};
use crate::request::{Handler, Overload};

/// Tells browsers to use TLS alone for this host, for a year (RFC 6797).
const TLS_ALONE: HeaderValue = HeaderValue::from_static("max-age=31536000");

/// Tells browsers not to take a response for anything else than its `Content-Type` says.
const NO_SNIFFING: HeaderValue = HeaderValue::from_static("nosniff");

/// The endpoints behind these rules.
#[derive(Clone)]
pub(crate) struct StrictHttp {
    pub(crate) endpoints: Endpoints,
    /// Whether the listener does TLS itself. Behind a proxy, the proxy knows what it promises.
    pub(crate) has_tls: bool,
}

impl Handler for StrictHttp {
    type Body = Full<Bytes>;

    /// Boxed here, once: the future is large, and what wraps it would copy it again and again.
    fn handle(
        self,
        request: Request<Incoming>,
        _: IpAddr,
    ) -> impl Future<Output = Response> + Send + 'static {
        async move {
            let mut response = match check(&request) {
                Ok(()) => self.endpoints.answer(request).await,
                Err(refused) => refuse(refused),
            };
            let headers = response.headers_mut();
            headers.insert(header::X_CONTENT_TYPE_OPTIONS, NO_SNIFFING);
            if self.has_tls {
                headers.insert(header::STRICT_TRANSPORT_SECURITY, TLS_ALONE);
            }
            response
        }
        .boxed()
    }
}

fn refuse(refused: ErrorResponse) -> Response {
    let mut response = refused.into_response();
    forbid_caching(response.headers_mut());
    response
}

/// Refuses a request if too many are open, one without `Host` or with several, and one with a
/// transfer coding other than `chunked`. HTTP/2 has neither. Content-Length beside
/// Transfer-Encoding is not seen here: hyper removes it, as section 6.3 allows.
fn check<B>(request: &Request<B>) -> Result<(), ErrorResponse> {
    if request.extensions().get::<Overload>().is_some() {
        return Err(ErrorResponse::overloaded());
    }
    let headers = request.headers();
    let is_http1 = request.version() < Version::HTTP_2;
    if !is_http1 {
        return Ok(());
    }
    let hosts = headers.get_all(header::HOST).iter().count();
    // HTTP/1.0 knows no Host.
    if hosts > 1 || hosts == 0 && request.version() == Version::HTTP_11 {
        return Err(ErrorResponse::malformed_header("there must be exactly one Host header"));
    }
    let mut codings = headers.get_all(header::TRANSFER_ENCODING).iter();
    if let Some(coding) = codings.next() {
        let is_chunked = coding.as_bytes().eq_ignore_ascii_case(b"chunked");
        if !is_chunked || codings.next().is_some() {
            let text = "the only transfer coding supported is chunked";
            return Err(ErrorResponse::malformed_header(text));
        }
    }
    Ok(())
}
