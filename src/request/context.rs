//! What is known of a request beside what its caller wrote.

use std::{
    net::IpAddr,
    sync::{Arc, OnceLock},
    time::{Duration, Instant},
};

use super::{Method, Outcome};

/// Travels in the extensions of a request, from the listener to the use case. A caller within the
/// process that has no listener may leave it out.
#[derive(Debug, Clone, Default)]
pub struct RequestContext {
    /// The address of the connection; for IPv6 its network of 64 bits. None without a connection.
    pub source: Option<IpAddr>,
    /// When the request ends, whatever became of it.
    pub deadline: Option<Instant>,
    record: Arc<Record>,
}

/// What the access log learns of a request while it is served.
#[derive(Debug, Default)]
struct Record {
    method: OnceLock<Method>,
    outcome: OnceLock<Outcome>,
}

impl RequestContext {
    /// The context of a request that has just arrived.
    pub(crate) fn new(source: Option<IpAddr>, deadline: Option<Instant>) -> Self {
        Self { source, deadline, record: Arc::default() }
    }

    /// The deadline of a step that may take `limit` from now: the caller's own, if it is earlier.
    pub(crate) fn deadline_within(&self, limit: Duration) -> Instant {
        let latest = Instant::now() + limit;
        self.deadline.map_or(latest, |deadline| deadline.min(latest))
    }

    /// Notes which method is called. The first note counts.
    pub(crate) fn record_method(&self, method: Method) {
        let _ = self.record.method.set(method);
    }

    /// Notes the outcome of the call. The first note counts.
    pub(crate) fn record_outcome(&self, outcome: Outcome) {
        let _ = self.record.outcome.set(outcome);
    }

    /// Notes the outcome of a request that was answered without a call.
    pub(crate) fn record_outcome_if_none(&self, outcome: impl FnOnce() -> Outcome) {
        self.record.outcome.get_or_init(outcome);
    }

    /// The method that was called; none for another path.
    pub(super) fn method(&self) -> Option<Method> {
        self.record.method.get().copied()
    }

    /// The outcome of the call; none if there was none.
    pub(super) fn outcome(&self) -> Option<Outcome> {
        self.record.outcome.get().copied()
    }
}
