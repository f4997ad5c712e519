//! The trait of the services behind a listener.

use std::{convert::Infallible, net::IpAddr};

use axum::Router;
use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use hyper::body::Incoming;
use tower::Service;

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// In the extensions of a request that must be refused, because its listener has too many open.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Overload;

/// A service that answers requests. A layer of `axum::middleware` would box its future for every
/// request; this trait lets each handler name its future type (tower-rs/tower#753 requests such a
/// trait).
pub(crate) trait Handler: Clone + Send + Sync + 'static {
    /// The body of a response.
    type Body: Body<Data = Bytes, Error: Into<BoxError>> + Send + Unpin + 'static;

    /// Answers one request from this source. Failures are responses too. The extensions of the
    /// response hold its [`super::Standing`], if it has one.
    fn handle(
        self,
        request: Request<Incoming>,
        source: IpAddr,
    ) -> impl Future<Output = Response<Self::Body>> + Send + 'static;
}

impl Handler for Router {
    type Body = axum::body::Body;

    async fn handle(mut self, request: Request<Incoming>, _: IpAddr) -> Response<Self::Body> {
        let answered: Result<_, Infallible> = self.call(request).await;
        let Ok(response) = answered;
        response
    }
}
