//! The access log: each request gets an id, is counted, and is logged as one line.
//!
//! It wraps both transports, so a form and the RPC that it becomes are one request. The fields of a
//! line are an allow-list. Headers, bodies and unknown paths are never logged, because callers put
//! secrets in them by mistake.

use std::{net::IpAddr, sync::Arc, time::Instant};

use futures_util::FutureExt;
use http::{Request, Response, StatusCode};
use hyper::body::Incoming;
use tracing::{Instrument, Span, field::Empty};

use super::{
    Handler, Method, Outcome, RequestContext, grpc_timeout,
    logged_body::LoggedBody,
    request_id::{REQUEST_ID, RequestIds},
};
use crate::{
    domain::Random,
    telemetry::{ACCESS, ListenerKind, Metrics},
};

/// Name for every path and method that the node does not serve.
const UNKNOWN: &str = "unknown";

/// The access log around the handler of a listener.
#[derive(Clone)]
pub(crate) struct AccessLog<H> {
    listener: ListenerKind,
    /// The paths that may be logged.
    paths: Arc<[Arc<str>]>,
    ids: Arc<RequestIds>,
    metrics: Arc<Metrics>,
    inner: H,
}

impl<H: Handler> AccessLog<H> {
    /// Wraps `inner`. Only `paths` may be logged.
    pub(crate) fn new(
        listener: ListenerKind,
        paths: Vec<String>,
        metrics: Arc<Metrics>,
        random: &dyn Random,
        inner: H,
    ) -> Self {
        let paths = paths.into_iter().map(Arc::from).collect();
        Self { listener, paths, ids: Arc::new(RequestIds::new(random)), metrics, inner }
    }
}

impl<H: Handler> Handler for AccessLog<H> {
    type Body = LoggedBody<H::Body>;

    /// Not an `async fn`: its future would keep the request beside the inner future that took it.
    fn handle(
        self,
        mut request: Request<Incoming>,
        source: IpAddr,
    ) -> impl Future<Output = Response<Self::Body>> + Send + 'static {
        let id = self.ids.of(request.headers());
        // At level error, so that every line that a filter lets through carries the request id.
        let span = tracing::error_span!(
            target: ACCESS, "request", id = id.to_str().unwrap_or_default(), client_id = Empty
        );
        let began = Instant::now();
        let timeout =
            grpc_timeout(request.headers()).filter(|_| self.listener == ListenerKind::Grpc);
        let deadline = timeout.and_then(|timeout| began.checked_add(timeout));
        let context = RequestContext::new(Some(source), deadline);
        let path = request.uri().path();
        let mut entry = Entry {
            listener: self.listener,
            path: self.paths.iter().find(|known| ***known == *path).cloned(),
            metrics: self.metrics,
            began,
            span: span.clone(),
            context: context.clone(),
            status: None,
            outcome: Outcome::Cancelled,
        };
        request.headers_mut().insert(REQUEST_ID, id.clone());
        request.extensions_mut().insert(context);
        self.inner.handle(request, source).instrument(span).map(move |mut response| {
            response.headers_mut().insert(REQUEST_ID, id);
            let Some(outcome) = entry.outcome_of(response.status()) else {
                return response.map(|body| LoggedBody::new(body, Some(entry)));
            };
            response.extensions_mut().insert(outcome);
            entry.status = Some(response.status());
            entry.end(outcome);
            response.map(|body| LoggedBody::new(body, None))
        })
    }
}

/// The log entry of a request that is being served. It is written when it is dropped, so cancelled
/// requests are logged too.
pub(super) struct Entry {
    listener: ListenerKind,
    path: Option<Arc<str>>,
    metrics: Arc<Metrics>,
    began: Instant,
    span: Span,
    context: RequestContext,
    /// HTTP status of the response; `None` until there is one.
    status: Option<StatusCode>,
    outcome: Outcome,
}

impl Entry {
    /// The outcome of the request; `None` if it is known only from the trailers of a stream.
    fn outcome_of(&self, status: StatusCode) -> Option<Outcome> {
        let is_http = self.listener != ListenerKind::Grpc;
        self.context.outcome().or_else(|| is_http.then(|| Outcome::of_http(status)))
    }

    /// Writes the entry.
    pub(super) fn end(mut self, outcome: Outcome) {
        self.outcome = outcome;
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        let took = self.began.elapsed();
        let rpc = self.context.method().map_or(UNKNOWN, Method::name);
        let outcome = self.outcome.as_str();
        self.metrics.answered(self.listener, rpc, outcome, took);
        // The HTTP status of a gRPC response means nothing.
        let status = self
            .status
            .filter(|_| self.listener == ListenerKind::Http)
            .map(|status| status.as_u16());
        self.span.in_scope(|| {
            tracing::info!(
                target: ACCESS,
                listener = self.listener.as_str(),
                path = self.path.as_deref().unwrap_or(UNKNOWN),
                rpc,
                status,
                outcome,
                micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX),
                "answered"
            );
        });
    }
}
