//! All that is served over gRPC: the contract, health, reflection.

use std::{
    net::IpAddr,
    pin::Pin,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use axum::Router;
use bytes::Bytes;
use futures_util::{FutureExt, future::BoxFuture};
use http::{Request, Response};
use http_body::Frame;
use hyper::body::Incoming;
use tokio::time::{Sleep, sleep};
use tonic::{Status, body::Body};
use tower::Service;

use super::{TokenRpc, admission::guarded};
use crate::{
    pb::v1::token_service_server::TokenServiceServer,
    request::{Handler, Method, Outcome, RequestContext},
};

/// The paths of health and reflection.
const OTHERS: [&str; 3] = [
    "/grpc.health.v1.Health/Check",
    "/grpc.health.v1.Health/Watch",
    "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
];

/// The services of a node. Those of the contract are not found by a router, which would box each
/// call twice more.
#[derive(Clone)]
pub struct GrpcService {
    tokens: TokenServiceServer<TokenRpc>,
    /// Health and reflection.
    others: Router,
    /// How long a message may take to arrive; for the other services, how long until they answer.
    request_timeout: Duration,
}

impl Handler for GrpcService {
    type Body = Body;

    fn handle(
        self,
        request: Request<Incoming>,
        _source: IpAddr,
    ) -> impl Future<Output = Response<Body>> + Send + 'static {
        let context = request.extensions().get::<RequestContext>().cloned().unwrap_or_default();
        let answering = self.call(request, &context);
        answering.map(move |response| {
            // A message that cannot be read, or a path that is not ours, never becomes a call.
            context.record_outcome_if_none(|| {
                let failed = Status::from_header_map(response.headers());
                failed.as_ref().map_or(Outcome::Ok, Outcome::of_status)
            });
            response
        })
    }
}

impl GrpcService {
    /// Serves the contract, and `others` on all other paths.
    #[must_use]
    pub const fn new(
        tokens: TokenServiceServer<TokenRpc>,
        others: Router,
        request_timeout: Duration,
    ) -> Self {
        Self { tokens, others, request_timeout }
    }

    /// The paths that callers ask for, but for mistakes.
    #[must_use]
    pub fn paths() -> Vec<String> {
        let own = Method::ALL.map(Method::path);
        own.into_iter().chain(OTHERS).map(str::to_owned).collect()
    }

    fn call(
        mut self,
        request: Request<Incoming>,
        context: &RequestContext,
    ) -> BoxFuture<'static, Response<Body>> {
        let deadline = context.deadline_within(self.request_timeout);
        let path = request.uri().path();
        if let Some(method) = Method::ALL.into_iter().find(|method| method.path() == path) {
            context.record_method(method);
            let request = request.map(|body| Body::new(Arriving { body, deadline, sleep: None }));
            return self.tokens.call(request).map(|Ok(response)| response).boxed();
        }
        // Health has no concurrency limit: it is cheap, and is asked when everything else fails.
        let call = self.others.call(request.map(Body::new));
        let call = call.map(|Ok(response)| Ok(response.map(Body::new)));
        guarded(deadline, call).map(|answered| answered.unwrap_or_else(Status::into_http)).boxed()
    }
}

/// The body of a request, which must arrive whole before the deadline.
struct Arriving {
    body: Incoming,
    deadline: Instant,
    /// Begins with the first part that is waited for: most messages are there with their headers.
    sleep: Option<Pin<Box<Sleep>>>,
}

impl http_body::Body for Arriving {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let this = &mut *self;
        if let Poll::Ready(frame) = Pin::new(&mut this.body).poll_frame(context) {
            let broken = |_| Status::cancelled("the message broke off");
            return Poll::Ready(frame.map(|frame| frame.map_err(broken)));
        }
        let left = this.deadline.saturating_duration_since(Instant::now());
        let sleep = this.sleep.get_or_insert_with(|| Box::pin(sleep(left)));
        let late = |()| Some(Err(Status::deadline_exceeded("the message did not arrive in time")));
        sleep.as_mut().poll(context).map(late)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }
}
