//! The access log: one line, one count and one id for each request.
//!
//! It stands around both transports, so a form and the RPC that it becomes are one request. The
//! fields of a line are an allow-list. Headers, bodies and unknown paths are never logged, because
//! people put secrets in them by mistake.

use std::{net::IpAddr, sync::Arc, time::Instant};

use futures_util::FutureExt;
use http::{Request, Response, StatusCode};
use hyper::body::Incoming;
use tracing::{Instrument, Span, field::Empty};

use super::{
    Handler, Method, Outcome, RequestContext, grpc_timeout,
    request_id::{REQUEST_ID, RequestIds},
};
use crate::{
    domain::Random,
    telemetry::{ACCESS, ListenerKind, Metrics},
};

/// The name of a path or a method that is not ours.
const UNKNOWN: &str = "unknown";

/// The access log around what serves a listener.
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
    /// The access log around `inner`. `paths` are those that may be logged.
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
    type Body = H::Body;

    /// Not an async fn, which would hold the request beside the future that it went into.
    fn handle(
        self,
        mut request: Request<Incoming>,
        source: IpAddr,
    ) -> impl Future<Output = Response<H::Body>> + Send + 'static {
        let id = self.ids.of(request.headers());
        // At level error, so that the request is named in every line that a filter lets through.
        let span = tracing::error_span!(
            target: ACCESS, "request", id = id.to_str().unwrap_or_default(), client_id = Empty
        );
        let began = Instant::now();
        let timeout =
            grpc_timeout(request.headers()).filter(|_| self.listener == ListenerKind::Grpc);
        let deadline = timeout.and_then(|timeout| began.checked_add(timeout));
        let context = RequestContext::new(Some(source), deadline);
        let path = request.uri().path();
        let entry = Entry {
            listener: self.listener,
            path: self.paths.iter().find(|known| ***known == *path).cloned(),
            metrics: self.metrics,
            began,
            span: span.clone(),
            context: context.clone(),
            status: None,
        };
        request.headers_mut().insert(REQUEST_ID, id.clone());
        request.extensions_mut().insert(context);
        self.inner.handle(request, source).instrument(span).map(move |mut response| {
            response.headers_mut().insert(REQUEST_ID, id);
            let outcome = entry.end(response.status());
            response.extensions_mut().insert(outcome);
            response
        })
    }
}

/// The log entry of a request that is being served. It is written when it is dropped, so cancelled
/// requests are logged too.
struct Entry {
    listener: ListenerKind,
    path: Option<Arc<str>>,
    metrics: Arc<Metrics>,
    began: Instant,
    span: Span,
    context: RequestContext,
    /// Of the answer; none until there is one.
    status: Option<StatusCode>,
}

impl Entry {
    /// Ends the entry with the status of the answer.
    fn end(mut self, status: StatusCode) -> Outcome {
        self.status = Some(status);
        self.outcome()
    }

    fn outcome(&self) -> Outcome {
        match (self.status, self.context.outcome()) {
            (None, _) => Outcome::Cancelled,
            (_, Some(outcome)) => outcome,
            (Some(status), None) => Outcome::of_http(status),
        }
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        let took = self.began.elapsed();
        let rpc = self.context.method().map_or(UNKNOWN, Method::name);
        let outcome = self.outcome().as_str();
        self.metrics.answered(self.listener, rpc, outcome, took);
        // On gRPC the status of HTTP says nothing.
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
