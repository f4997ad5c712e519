//! The link of a shim to its upstream: calls that fail because of it are counted, and one in a
//! while is logged with its cause, which the answer to the caller does not show.

use std::{
    error::Error,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use tonic::Status;

use crate::domain::chain;

/// Interval of the log line.
const TELL_EVERY: Duration = Duration::from_secs(10);

/// State of the link, as far as calls show it.
#[derive(Debug, Default)]
pub struct UpstreamLink {
    failures: AtomicU64,
    told: Mutex<Option<Instant>>,
}

impl UpstreamLink {
    /// Number of calls that failed because of the link.
    #[must_use]
    pub fn failures(&self) -> u64 {
        self.failures.load(Ordering::Relaxed)
    }

    /// Notes the error of a call. An answer of the upstream has no source, whatever it says.
    pub(super) fn note(&self, status: &Status) {
        let Some(cause) = status.source() else { return };
        self.failures.fetch_add(1, Ordering::Relaxed);
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if told.is_none_or(|told| told.elapsed() >= TELL_EVERY) {
            *told = Some(Instant::now());
            let failures = self.failures();
            tracing::warn!(cause = chain(cause), failures, "the upstream cannot be reached");
        }
    }
}
