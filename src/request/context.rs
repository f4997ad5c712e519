//! The context of a request: facts about it that are not in its message.

use std::{
    net::IpAddr,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use http::HeaderValue;

use super::{Method, Outcome};

/// Context of a request. It travels in the extensions of the request, from the listener to the use
/// case. A caller within the process that has no listener may leave it out.
#[derive(Debug, Clone, Default)]
pub struct RequestContext {
    /// Source: the address of the connection, or the one that a trusted proxy names; for IPv6 its
    /// /64. `None` without a connection.
    pub source: Option<IpAddr>,
    /// Whether the source is over its rate of failures. A request that fails is then told to wait.
    pub is_throttled: bool,
    /// The id of the request, under which a node elsewhere logs it too.
    pub id: Option<HeaderValue>,
    /// When the request ends, finished or not. `None`: the caller set no deadline.
    pub deadline: Option<Instant>,
    record: Arc<Record>,
}

/// Mark in the extensions of a request that came through a Unix socket: the user of its peer, as
/// the kernel names him.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LocalUser {
    /// Id of the user.
    pub(crate) uid: u32,
}

/// Facts for the access log, recorded while the request is served.
#[derive(Debug, Default)]
struct Record {
    method: OnceLock<Method>,
    outcome: OnceLock<Outcome>,
    /// Whether the message arrived and became a call.
    is_call: AtomicBool,
}

impl RequestContext {
    /// How long a source that is over its rate of failures is told to wait.
    pub(crate) const THROTTLE_WAIT: Duration = Duration::from_secs(1);

    /// The context of a request that has just arrived.
    pub(crate) fn new(source: Option<IpAddr>, deadline: Option<Instant>) -> Self {
        Self { source, deadline, ..Self::default() }
    }

    /// The deadline of a step that may take `limit` from now: the caller's own, if it is earlier.
    pub(crate) fn deadline_within(&self, limit: Duration) -> Instant {
        let latest = Instant::now() + limit;
        self.deadline.map_or(latest, |deadline| deadline.min(latest))
    }

    /// Records which method is called. Only the first record counts.
    pub(crate) fn record_method(&self, method: Method) {
        let _ = self.record.method.set(method);
    }

    /// Records that the message has arrived, and its call begins.
    pub(crate) fn record_call(&self) {
        self.record.is_call.store(true, Ordering::Relaxed);
    }

    /// Records the outcome of the call. Only the first record counts.
    pub(crate) fn record_outcome(&self, outcome: Outcome) {
        let _ = self.record.outcome.set(outcome);
    }

    /// Records the outcome of a request that was answered without a call.
    pub(crate) fn record_outcome_if_none(&self, outcome: impl FnOnce() -> Outcome) {
        self.record.outcome.get_or_init(outcome);
    }

    /// The method that was called; `None` for any other path.
    pub(super) fn method(&self) -> Option<Method> {
        self.record.method.get().copied()
    }

    /// Whether the message arrived and became a call of the contract.
    pub(crate) fn is_call(&self) -> bool {
        self.record.is_call.load(Ordering::Relaxed)
    }

    /// The method that was called, if the message arrived and became a call of the contract.
    pub(super) fn call(&self) -> Option<Method> {
        self.method().filter(|_| self.is_call())
    }

    /// The recorded outcome; `None` if none was recorded.
    pub(crate) fn outcome(&self) -> Option<Outcome> {
        self.record.outcome.get().copied()
    }
}
