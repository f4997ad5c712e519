//! The access log: each request gets an id, is counted, and is logged as one line.
//!
//! It wraps both transports, so a form and the RPC that it becomes are one request. The fields of a
//! line are an allow-list. Headers, bodies and unknown paths are never logged, because callers put
//! secrets in them by mistake.

use std::{net::IpAddr, sync::Arc, time::Instant};

use futures_util::FutureExt;
use http::{Request, Response};
use hyper::body::Incoming;
use tracing::{Instrument, field::Empty};

use super::{
    Handler, Outcome, RequestContext, Throttled, grpc_timeout,
    log_entry::Entry,
    logged_body::LoggedBody,
    request_id::{REQUEST_ID, RequestIds},
};
use crate::{
    domain::Random,
    telemetry::{ACCESS, ListenerKind, Metrics},
};

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

    /// A plain function: an `async fn` would store the request twice, in its own future and in the
    /// inner one.
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
        let timeout = grpc_timeout(request.headers()).filter(|_| self.listener.is_grpc());
        let deadline = timeout.and_then(|timeout| began.checked_add(timeout));
        let mut context = RequestContext::new(Some(source), deadline);
        context.is_throttled = request.extensions().get::<Throttled>().is_some();
        context.id = Some(id.clone());
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
        request.extensions_mut().insert(context);
        self.inner.handle(request, source).instrument(span).map(move |mut response| {
            response.headers_mut().insert(REQUEST_ID, id);
            let Some(outcome) = entry.outcome_of(response.status()) else {
                return response.map(|body| LoggedBody::new(body, Some(entry)));
            };
            if let Some(standing) = outcome.standing(entry.context.call()) {
                response.extensions_mut().insert(standing);
            }
            entry.status = Some(response.status());
            entry.end(outcome);
            response.map(|body| LoggedBody::new(body, None))
        })
    }
}
