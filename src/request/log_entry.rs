//! One entry of the access log.

use std::{sync::Arc, time::Instant};

use http::StatusCode;
use tracing::{Span, field::display};

use super::{Method, Outcome, RequestContext, Standing};
use crate::telemetry::{ACCESS, ListenerKind, Metrics};

/// Name for every path and method that the node does not serve.
const UNKNOWN: &str = "unknown";

/// The log entry of a request that is being served. It is written when it is dropped, so cancelled
/// requests are logged too.
pub(super) struct Entry {
    pub(super) listener: ListenerKind,
    pub(super) path: Option<Arc<str>>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) began: Instant,
    pub(super) span: Span,
    pub(super) context: RequestContext,
    /// HTTP status of the response; `None` until there is one.
    pub(super) status: Option<StatusCode>,
    pub(super) outcome: Outcome,
}

impl Entry {
    /// The outcome of the request; `None` if it is known only from the trailers of a stream.
    pub(super) fn outcome_of(&self, status: StatusCode) -> Option<Outcome> {
        let is_http = !self.listener.is_grpc();
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
        // A throttled source would fill the log, which says that it is throttled.
        let standing = self.outcome.standing(self.context.call());
        let fails = matches!(standing, Some(Standing::Failed | Standing::Unfinished));
        if self.context.is_throttled && (fails || self.outcome == Outcome::Cancelled) {
            return;
        }
        // The HTTP status of a gRPC response means nothing.
        let status = self
            .status
            .filter(|_| self.listener == ListenerKind::Http)
            .map(|status| status.as_u16());
        // An operator looks for the sources of failures, and for nobody's otherwise.
        let source = self.context.source.filter(|_| self.outcome != Outcome::Ok).map(display);
        self.span.in_scope(|| {
            tracing::info!(
                target: ACCESS,
                listener = self.listener.as_str(),
                source,
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
