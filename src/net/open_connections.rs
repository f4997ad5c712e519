//! The open connections of a listener, and which of them makes way for a new one.
//!
//! A connection is cheap to open, so a listener that is full of connections on which nothing has
//! authenticated must not make honest callers wait. When there is no room, one of those is closed:
//! of the source that has the most, the one that has been idle for longest. A connection on which a
//! call has succeeded is never closed for that reason. Those of trusted proxies, which carry the
//! requests of many sources, have no share: one is closed only while it is idle, and only if there
//! is no other.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering},
    },
    time::Instant,
};

use tokio_util::sync::CancellationToken;

use super::peer::Peer;

/// Part of all connections above which a source also loses those with a request in flight.
const HEAVY: usize = 4;

/// The open connections of one listener. Clones share them.
#[derive(Clone)]
pub(super) struct OpenConnections {
    origin: Instant,
    max: usize,
    open: Arc<Mutex<Table>>,
}

#[derive(Default)]
struct Table {
    next: u64,
    connections: HashMap<u64, (Owner, Arc<Activity>)>,
}

/// Whose connection it is.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Owner {
    Source(IpAddr),
    TrustedProxy,
}

/// What a connection has done. Shared by the connection and the table.
pub(super) struct Activity {
    origin: Instant,
    /// When its last request began or ended, in microseconds since `origin`.
    last: AtomicU64,
    in_flight: AtomicU32,
    has_authenticated: AtomicBool,
    /// Cancelled when the connection has to make way.
    pub(super) evicted: CancellationToken,
}

/// An entry of the table, until it is dropped.
pub(super) struct Entry {
    table: Arc<Mutex<Table>>,
    id: u64,
    pub(super) activity: Arc<Activity>,
}

impl OpenConnections {
    /// An empty table for at most `max` connections.
    pub(super) fn new(max: u32) -> Self {
        Self { origin: Instant::now(), max: max as usize, open: Arc::default() }
    }

    /// Enters a new connection.
    pub(super) fn enter(&self, source: IpAddr) -> Entry {
        let activity = Arc::new(Activity {
            origin: self.origin,
            last: AtomicU64::new(micros_since(self.origin)),
            in_flight: AtomicU32::new(0),
            has_authenticated: AtomicBool::new(false),
            evicted: CancellationToken::new(),
        });
        let mut table = lock(&self.open);
        let id = table.next;
        table.next += 1;
        table.connections.insert(id, (Owner::Source(source), Arc::clone(&activity)));
        Entry { table: Arc::clone(&self.open), id, activity }
    }

    /// Closes one connection to make room. False if none may be closed.
    pub(super) fn evict_one(&self) -> bool {
        let table = lock(&self.open);
        let strangers = || {
            let all = table.connections.values();
            all.filter(|(_, activity)| !activity.has_authenticated.load(Ordering::Relaxed))
                .filter(|(_, activity)| !activity.evicted.is_cancelled())
        };
        let mut count: HashMap<Owner, usize> = HashMap::new();
        strangers().for_each(|(owner, _)| *count.entry(*owner).or_default() += 1);
        let busy = |activity: &Activity| activity.in_flight.load(Ordering::Relaxed) > 0;
        let heavy =
            |owner: &Owner| *owner != Owner::TrustedProxy && count[owner] > self.max / HEAVY;
        let victim = strangers()
            .filter(|(owner, activity)| !busy(activity) || heavy(owner))
            .min_by_key(|(owner, activity)| {
                let last = activity.last.load(Ordering::Relaxed);
                let is_trusted = *owner == Owner::TrustedProxy;
                (is_trusted, busy(activity), usize::MAX - count[owner], last)
            });
        victim.inspect(|(_, activity)| activity.evicted.cancel()).is_some()
    }
}

impl Entry {
    /// Corrects whose connection it is, which a proxy or a certificate has shown.
    pub(super) fn belongs_to(&self, peer: &Peer) {
        let owner =
            if peer.is_trusted() { Owner::TrustedProxy } else { Owner::Source(peer.source()) };
        if let Some(connection) = lock(&self.table).connections.get_mut(&self.id) {
            connection.0 = owner;
        }
    }
}

impl Activity {
    /// A request is in flight until the returned guard is dropped, whether or not it is answered.
    pub(super) fn begin_request(self: &Arc<Self>) -> RequestInFlight {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        self.last.store(micros_since(self.origin), Ordering::Relaxed);
        RequestInFlight(Arc::clone(self))
    }
}

/// A request of a connection.
pub(super) struct RequestInFlight(Arc<Activity>);

impl RequestInFlight {
    /// Its caller has authenticated.
    pub(super) fn has_authenticated(&self) {
        self.0.has_authenticated.store(true, Ordering::Relaxed);
    }
}

impl Drop for RequestInFlight {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::Relaxed);
        self.0.last.store(micros_since(self.0.origin), Ordering::Relaxed);
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        lock(&self.table).connections.remove(&self.id);
    }
}

/// Nothing under the lock panics, so it cannot be poisoned.
fn lock(table: &Mutex<Table>) -> MutexGuard<'_, Table> {
    table.lock().unwrap_or_else(PoisonError::into_inner)
}

fn micros_since(origin: Instant) -> u64 {
    u64::try_from(origin.elapsed().as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Proxies;

    fn source(last: u8) -> IpAddr {
        IpAddr::from([192, 0, 2, last])
    }

    fn is_evicted(entry: &Entry) -> bool {
        entry.activity.evicted.is_cancelled()
    }

    #[test]
    fn the_longest_idle_stranger_of_the_heaviest_source_makes_way() {
        let open = OpenConnections::new(8);
        let single = open.enter(source(1));
        let [first, second, known] = [(); 3].map(|()| open.enter(source(2)));
        known.activity.begin_request().has_authenticated();
        drop(first.activity.begin_request());
        for (moment, entry) in [&known, &second, &first, &single].into_iter().enumerate() {
            entry.activity.last.store(moment as u64, Ordering::Relaxed);
        }
        assert!(open.evict_one());
        assert!(is_evicted(&second), "it was idle for longest");
        drop(second);
        assert!(open.evict_one() && open.evict_one());
        assert!(is_evicted(&first) && is_evicted(&single));
        assert!(!open.evict_one() && !is_evicted(&known), "a call succeeded on it");
    }

    #[test]
    fn a_request_in_flight_protects_unless_its_source_is_heavy() {
        let open = OpenConnections::new(8);
        let few = open.enter(source(1));
        let _few = few.activity.begin_request();
        assert!(!open.evict_one());
        let many = [(); 3].map(|()| open.enter(source(2)));
        let _many: Vec<_> = many.iter().map(|entry| entry.activity.begin_request()).collect();
        assert!(open.evict_one());
        assert!(!is_evicted(&few) && many.iter().any(is_evicted));
    }
    #[test]
    fn a_trusted_proxy_has_no_share_and_makes_way_last() {
        let open = OpenConnections::new(8);
        let trusted_proxy = Some("192.0.2.1".parse().unwrap());
        let proxies = Arc::new(Proxies { trusted_proxy, ..Proxies::default() });
        let proxy = Peer::new((source(1), 1).into(), None, &proxies);
        let shared = [(); 5].map(|()| open.enter(source(1)));
        for entry in &shared {
            entry.belongs_to(&proxy);
        }
        let busy: Vec<_> = shared[1..].iter().map(|e| e.activity.begin_request()).collect();
        let stranger = open.enter(source(2));
        assert!(open.evict_one() && is_evicted(&stranger));
        drop(stranger);
        assert!(open.evict_one() && is_evicted(&shared[0]), "nothing was open on it");
        assert!(!open.evict_one(), "the others are in use");
        drop(busy);
    }
}
