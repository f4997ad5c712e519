//! Everything served over gRPC: the contract, health checks and reflection.

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

use super::{Streams, TokenRpc, admission::guarded};
use crate::{
    pb::v1::token_service_server::TokenServiceServer,
    request::{Handler, Method, Outcome, RequestContext},
};

/// Paths of the methods of health and reflection with a single response.
const UNARY: [&str; 1] = ["/grpc.health.v1.Health/Check"];

/// Paths of the methods of health and reflection whose response is a stream.
const STREAMS: [&str; 2] =
    ["/grpc.health.v1.Health/Watch", "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo"];

/// The gRPC services of a node. Calls of the contract bypass the router, which would box each call
/// twice more.
#[derive(Clone)]
pub struct GrpcService {
    tokens: TokenServiceServer<TokenRpc>,
    /// Health and reflection.
    others: Router,
    /// Timeout for a message to arrive; for the other services, timeout until the response starts.
    request_timeout: Duration,
    streams: Streams,
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
            // A malformed message or an unknown path never becomes a call, so no outcome has been
            // recorded for it.
            if let Some(status) = Status::from_header_map(response.headers()) {
                context.record_outcome_if_none(|| Outcome::of_status(&status));
            }
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
        streams: Streams,
    ) -> Self {
        Self { tokens, others, request_timeout, streams }
    }

    /// Paths of all methods served: those of the contract, of health and of reflection.
    #[must_use]
    pub fn paths() -> Vec<String> {
        let own = Method::ALL.map(Method::path);
        own.into_iter().chain(UNARY).chain(STREAMS).map(str::to_owned).collect()
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
        // `Check` needs no permit: it is cheap, and it is needed when everything else fails.
        let permit = STREAMS.contains(&path).then(|| self.streams.admit());
        let stream_deadline = context.deadline;
        let call = self.others.call(request.map(Body::new));
        let call = async move {
            let permit = permit.transpose()?;
            let Ok(response) = call.await;
            Ok(match permit {
                Some(permit) => permit.follow(response, stream_deadline),
                None => response.map(Body::new),
            })
        };
        guarded(deadline, call).map(|answered| answered.unwrap_or_else(Status::into_http)).boxed()
    }
}

/// A request body that must arrive completely before `deadline`.
struct Arriving {
    body: Incoming,
    deadline: Instant,
    /// Timer for `deadline`, created at the first wait: most messages arrive with their headers.
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
            let broken = |_| Status::cancelled("the message ended early");
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
