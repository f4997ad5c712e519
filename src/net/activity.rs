//! What one connection does: its open requests, and whether a call has succeeded on it.

use std::{
    net::IpAddr,
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};
use tokio_util::sync::CancellationToken;

use crate::request::Standing;

/// Requests of a connection that run at the same time before one of them has authenticated.
/// Further ones wait, so a stranger holds little more than their headers.
const EARLY_REQUESTS: usize = 16;

/// How long a request waits for one of them at most: as long as a call may take by default, so the
/// deadline of most has passed by then.
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// Whose connection it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Owner {
    Source(IpAddr),
    /// A proxy whose connections carry the requests of many sources.
    TrustedProxy,
}

/// What a connection has done. Shared by the connection and the table of its listener.
pub(super) struct Activity {
    /// Where it seems to come from, and whose it is, once that is known.
    source: Mutex<IpAddr>,
    owner: OnceLock<Owner>,
    origin: Instant,
    /// When its last request began or ended, in microseconds since `origin`.
    last: AtomicU64,
    open_requests: AtomicUsize,
    has_authenticated: AtomicBool,
    /// Permits of the requests that run before one has authenticated; closed after that.
    early_permits: Arc<Semaphore>,
    /// Whether the connection has to make way. The token wakes it; the flag is read without a lock.
    is_leaving: AtomicBool,
    evicted: CancellationToken,
}

impl Activity {
    /// A connection from this source that begins now. `origin` is the same for all of a listener.
    pub(super) fn new(source: IpAddr, origin: Instant) -> Self {
        let activity = Self {
            source: Mutex::new(source),
            owner: OnceLock::new(),
            origin,
            last: AtomicU64::new(0),
            open_requests: AtomicUsize::new(0),
            has_authenticated: AtomicBool::new(false),
            early_permits: Arc::new(Semaphore::new(EARLY_REQUESTS)),
            is_leaving: AtomicBool::new(false),
            evicted: CancellationToken::new(),
        };
        activity.touch();
        activity
    }

    /// Whose connection it is.
    pub(super) fn owner(&self) -> Owner {
        let seems = || Owner::Source(*self.source.lock().unwrap_or_else(PoisonError::into_inner));
        self.owner.get().copied().unwrap_or_else(seems)
    }

    /// Records where it comes from according to the header of a proxy.
    pub(super) fn seems_to_come_from(&self, source: IpAddr) {
        *self.source.lock().unwrap_or_else(PoisonError::into_inner) = source;
    }

    /// Records whose connection it is. Only the first record counts. A trusted proxy carries the
    /// requests of many, so none of them waits for those of another.
    pub(super) fn belongs_to(&self, owner: Owner) {
        if owner == Owner::TrustedProxy {
            self.early_permits.close();
        }
        let _ = self.owner.set(owner);
    }

    /// Number of its open requests.
    pub(super) fn open_requests(&self) -> usize {
        self.open_requests.load(Ordering::Relaxed)
    }

    /// Whether a call has succeeded on it, and every message since has arrived.
    pub(super) fn has_authenticated(&self) -> bool {
        self.has_authenticated.load(Ordering::Relaxed)
    }

    /// When its last request began or ended, in microseconds since `origin`.
    pub(super) fn last(&self) -> u64 {
        self.last.load(Ordering::Relaxed)
    }

    /// Tells the connection to make way.
    pub(super) fn evict(&self) {
        self.is_leaving.store(true, Ordering::Relaxed);
        self.evicted.cancel();
    }

    /// Whether the connection was told to make way.
    pub(super) fn is_leaving(&self) -> bool {
        self.is_leaving.load(Ordering::Relaxed)
    }

    /// Runs this until the connection has to make way.
    pub(super) async fn until_evicted<T>(&self, run: impl Future<Output = T>) -> Option<T> {
        self.evicted.run_until_cancelled(run).await
    }

    /// A request began.
    pub(super) fn begin_request(&self) {
        self.open_requests.fetch_add(1, Ordering::Relaxed);
        self.touch();
    }

    /// A request ended.
    pub(super) fn end_request(&self) {
        self.open_requests.fetch_sub(1, Ordering::Relaxed);
        self.touch();
    }

    /// Waits until a request may run. Without a permit it needs none, because another one has
    /// authenticated, or it has waited for long enough and runs within the limits of its own.
    pub(super) async fn early_permit(&self) -> Option<OwnedSemaphorePermit> {
        if self.early_permits.is_closed() {
            return None;
        }
        let permit = Arc::clone(&self.early_permits).acquire_owned();
        timeout(LONGEST_WAIT, permit).await.ok()?.ok()
    }

    /// Takes note of what a response says about the connection.
    pub(super) fn note(&self, standing: Standing) {
        let known = match standing {
            Standing::Authenticated => true,
            Standing::Unfinished => false,
            Standing::Failed => return,
        };
        if self.has_authenticated.swap(known, Ordering::Relaxed) != known && known {
            self.early_permits.close();
        }
    }

    fn touch(&self) {
        let micros = self.origin.elapsed().as_micros();
        self.last.store(u64::try_from(micros).unwrap_or(u64::MAX), Ordering::Relaxed);
    }
}
