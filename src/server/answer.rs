//! What answers the requests of a listener.

use std::convert::Infallible;

use axum::Router;
use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use hyper::body::Incoming;
use tower::Service;

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Whatever answers requests. Not a service of tower: layers of that kind cannot name the futures
/// that they make, so each of them boxes one for every request.
pub(super) trait Answer: Clone + Send + Sync + 'static {
    /// The body of an answer.
    type Body: Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static;

    /// Answers one request. A failure is an answer too.
    fn answer(
        self,
        request: Request<Incoming>,
    ) -> impl Future<Output = Response<Self::Body>> + Send + 'static;
}

impl Answer for Router {
    type Body = axum::body::Body;

    async fn answer(mut self, request: Request<Incoming>) -> Response<Self::Body> {
        let answered: Result<_, Infallible> = self.call(request).await;
        let Ok(response) = answered;
        response
    }
}
