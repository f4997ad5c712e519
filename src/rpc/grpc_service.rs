//! Everything that one listener serves over gRPC: a service of the contract, health checks and
//! reflection.

use std::{convert::Infallible, net::IpAddr, pin::pin, time::Duration};

use axum::{Router, body::Body as AxumBody};
use futures_util::{FutureExt, future::BoxFuture};
use http::{Request, Response};
use hyper::body::Incoming;
use tonic::{Status, body::Body};
use tower::Service;

use super::{Streams, admission::guarded, arriving::Arriving, grpc_rules, status};
use crate::request::{Handler, Method, Outcome, Overload, RequestContext};

/// Paths of the methods of health and reflection with a single response.
const UNARY: [&str; 1] = ["/grpc.health.v1.Health/Check"];

/// Paths of the methods of health and reflection whose response is a stream.
const STREAMS: [&str; 3] = [
    "/grpc.health.v1.Health/Watch",
    "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
    "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
];

/// The gRPC services of a listener. Calls of the contract bypass the router, which would box each
/// call twice more.
#[derive(Clone)]
pub struct GrpcService<S> {
    /// The service of the contract.
    calls: S,
    /// The methods that it serves. All others are as unknown as those that do not exist.
    methods: &'static [Method],
    /// Health and reflection.
    others: Router,
    /// Timeout for a message to arrive; for the other services, timeout until the response starts.
    request_timeout: Duration,
    streams: Streams,
}

/// A service of the contract, as tonic generates it.
pub trait Calls:
    Service<Request<Body>, Response = Response<Body>, Error = Infallible, Future: Send + 'static>
    + Clone
    + Send
    + Sync
    + 'static
{
}

impl<S> Calls for S where
    S: Service<
            Request<Body>,
            Response = Response<Body>,
            Error = Infallible,
            Future: Send + 'static,
        > + Clone
        + Send
        + Sync
        + 'static
{
}

impl<S: Calls> Handler for GrpcService<S> {
    type Body = Body;

    fn handle(
        self,
        request: Request<Incoming>,
        _source: IpAddr,
    ) -> impl Future<Output = Response<Body>> + Send + 'static {
        let context = request.extensions().get::<RequestContext>().cloned().unwrap_or_default();
        let answering = match grpc_rules::refusal(&request) {
            None => self.call(request, &context),
            Some(refusal) => std::future::ready(refusal).boxed(),
        };
        answering.map(move |response| {
            if context.outcome().is_some() {
                return response;
            }
            // An unknown path, a message that cannot be read, or a request that is not gRPC.
            let response = grpc_rules::blame_caller(response);
            if let Some(status) = Status::from_header_map(response.headers()) {
                context.record_outcome_if_none(|| Outcome::of_status(&status));
            } else if !response.status().is_success() {
                context.record_outcome_if_none(|| Outcome::of_http(response.status()));
            }
            response
        })
    }
}

impl<S: Calls> GrpcService<S> {
    /// Serves these methods of the contract by `calls`, and `others` on all other paths.
    #[must_use]
    pub const fn new(
        calls: S,
        methods: &'static [Method],
        others: Router,
        request_timeout: Duration,
        streams: Streams,
    ) -> Self {
        Self { calls, methods, others, request_timeout, streams }
    }

    /// Paths of all methods served: those of the contract, of health and of reflection.
    #[must_use]
    pub fn paths(&self) -> Vec<String> {
        let own = self.methods.iter().map(|method| method.path());
        own.chain(UNARY).chain(STREAMS).map(str::to_owned).collect()
    }

    fn call(
        mut self,
        request: Request<Incoming>,
        context: &RequestContext,
    ) -> BoxFuture<'static, Response<Body>> {
        if request.extensions().get::<Overload>().is_some() {
            return std::future::ready(status::overloaded().into_http()).boxed();
        }
        let deadline = context.deadline_within(self.request_timeout);
        let path = request.uri().path();
        if let Some(method) = self.methods.iter().copied().find(|method| method.path() == path) {
            context.record_method(method);
            let request = request.map(|body| Body::new(Arriving::new(body, deadline)));
            let call = self.calls.call(request).map(|Ok(response)| response);
            if !method.is_stream() {
                return call.boxed();
            }
            let (streams, deadline) = (self.streams, context.deadline);
            let follow = move |response: Response<Body>| {
                streams.follow(response.map(AxumBody::new), deadline)
            };
            return call.map(follow).boxed();
        }
        let streams = STREAMS.contains(&path).then(|| self.streams.clone());
        if streams.is_none() && !UNARY.contains(&path) {
            return std::future::ready(status::unknown_method().into_http()).boxed();
        }
        let stream_deadline = context.deadline;
        let call = self.others.call(request.map(Body::new));
        let call = async move {
            let Ok(response) = call.await;
            Ok(match streams {
                Some(streams) => streams.follow(response, stream_deadline),
                None => response.map(Body::new),
            })
        };
        async move { guarded(deadline, pin!(call)).await.unwrap_or_else(Status::into_http) }.boxed()
    }
}
