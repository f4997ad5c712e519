//! Whether callers were turned away lately, for the readiness probe.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

/// How long a node counts as full after it turned a caller away.
const LATELY: Duration = Duration::from_secs(5);

/// The last moment at which a listener had no room for a connection or a request.
pub(crate) struct Saturation {
    origin: Instant,
    /// Microseconds since `origin`, plus one; 0: never.
    last: AtomicU64,
}

impl Default for Saturation {
    fn default() -> Self {
        Self { origin: Instant::now(), last: AtomicU64::new(0) }
    }
}

impl Saturation {
    /// A caller was turned away now, or has to wait.
    pub(super) fn note(&self) {
        self.last.store(self.now().saturating_add(1), Ordering::Relaxed);
    }

    /// Whether a caller was turned away lately.
    pub(crate) fn is_full(&self) -> bool {
        let last = self.last.load(Ordering::Relaxed);
        let since = Duration::from_micros(self.now().saturating_sub(last));
        last > 0 && since < LATELY
    }

    fn now(&self) -> u64 {
        u64::try_from(self.origin.elapsed().as_micros()).unwrap_or(u64::MAX)
    }
}
