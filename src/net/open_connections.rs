//! The open connections and requests of a listener, and which connection makes way for a new one.
//!
//! A connection is cheap to open, and so is a request that never ends. So a listener that is full
//! of connections on which nothing has authenticated must not make honest callers wait. When there
//! is no room, one of those is closed: one of the source that has the most. A connection on which a
//! call has succeeded makes way only if its source has more than half of everything. Those of
//! trusted proxies, which carry the requests of many sources, have no share: one is closed only
//! while it is idle, nothing has succeeded on it, and no other stranger's can be.

use std::{
    cmp::Reverse,
    collections::HashMap,
    net::IpAddr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Instant,
};

use prometheus_client::metrics::gauge::Gauge;

use super::{
    activity::{Activity, Owner},
    limits::Limits,
    peer::Peer,
    saturation::Saturation,
};
use crate::telemetry::{ListenerKind, Metrics};

/// Part of all connections above which a source also loses those with an open request.
const HEAVY: usize = 4;

/// Part of all connections, or of all open requests, up to which sources count alike.
const FEW: usize = 64;

/// Part of all connections that makes way at a time, and that is kept free of idle strangers, so
/// that a newcomer seldom waits until another connection has ended.
const RESERVE: usize = 16;

/// A listener is nearly full with this part of its connections, in percent.
const NEARLY_FULL: usize = 80;

/// The open connections of one listener.
pub(super) struct OpenConnections {
    origin: Instant,
    max_connections: usize,
    max_requests: usize,
    /// Open requests of all connections.
    requests: Gauge,
    /// Places that were found free when the table was last gone through: the bound without the
    /// requests of connections that stay. A request that begins while those of closed connections
    /// have not ended takes one, and does not go through the table again.
    places: AtomicUsize,
    table: Mutex<Table>,
    kind: ListenerKind,
    metrics: Arc<Metrics>,
    saturation: Arc<Saturation>,
}

#[derive(Default)]
struct Table {
    next: u64,
    connections: HashMap<u64, Arc<Activity>>,
}

/// An entry of the table, until it is dropped.
pub(super) struct Entry {
    id: u64,
    pub(super) listener: Arc<OpenConnections>,
    pub(super) activity: Arc<Activity>,
}

impl OpenConnections {
    /// An empty table, within these limits.
    pub(super) fn new(
        limits: &Limits,
        kind: ListenerKind,
        metrics: Arc<Metrics>,
        saturation: Arc<Saturation>,
    ) -> Arc<Self> {
        Arc::new(Self {
            origin: Instant::now(),
            max_connections: limits.max_connections as usize,
            max_requests: limits.max_open_requests as usize,
            requests: metrics.open_requests(kind),
            places: AtomicUsize::new(0),
            table: Mutex::default(),
            kind,
            metrics,
            saturation,
        })
    }

    /// Enters a new connection.
    pub(super) fn enter(self: &Arc<Self>, source: IpAddr) -> Entry {
        let activity = Arc::new(Activity::new(source, self.origin));
        let mut table = self.lock();
        let id = table.next;
        table.next += 1;
        table.connections.insert(id, Arc::clone(&activity));
        Entry { id, listener: Arc::clone(self), activity }
    }

    /// Whether most connections are taken, so that timeouts should be short.
    pub(super) fn is_nearly_full(&self) -> bool {
        self.lock().connections.len() * 100 > self.max_connections * NEARLY_FULL
    }

    /// Closes idle connections of strangers if only so few places are free.
    pub(super) fn keep_reserve(&self, free: usize) {
        if free < self.max_connections / RESERVE {
            let table = self.lock();
            if let Some(open) = table.unless_some_leave() {
                let strangers = open.into_iter().filter(|one| !one.has_authenticated()).collect();
                self.evict_first(self.idle_first(strangers, 0));
            }
        }
    }

    /// Closes connections to make room for another, if any may be closed.
    pub(super) fn make_room(&self) {
        let table = self.lock();
        let Some(open) = table.unless_some_leave() else { return };
        let strangers = || open.iter().copied().filter(|one| !one.has_authenticated());
        let mut victims = self.idle_first(strangers().collect(), 0);
        if victims.is_empty() {
            victims = self.idle_first(open.clone(), self.max_connections / 2);
        }
        // Nobody is idle, and no source stands out: a stranger makes way amid a request, since
        // otherwise a few sources could keep everybody else out.
        if victims.is_empty() {
            let few = self.max_connections / FEW;
            victims.extend(heaviest(strangers().collect(), 0, few, |_| 1));
        }
        if victims.is_empty() {
            self.saturation.note();
        }
        self.evict_first(victims);
    }

    /// Closes the first of these: some at a time, because under an attack there will be another
    /// newcomer in a moment.
    fn evict_first(&self, victims: Vec<&Arc<Activity>>) {
        let many = 1 + self.max_connections / RESERVE;
        victims.into_iter().take(many).for_each(|victim| self.evict(victim));
    }

    /// Whether one more request of this connection may be open. If there are too many already, the
    /// connection that has the most of them is closed. False if none may be closed.
    pub(super) fn admit_request(&self, own: &Activity) -> bool {
        let open_before = usize::try_from(self.requests.inc()).unwrap_or_default();
        // Every request that begins takes one of the places that were found free.
        let has_place = self.take_place();
        if open_before < self.max_requests {
            return true;
        }
        // Requests of closed connections end a moment later. They must not become many more.
        if open_before >= 2 * self.max_requests {
            if own.has_authenticated() || own.owner() == Owner::TrustedProxy {
                self.saturation.note();
            } else {
                self.evict(own);
            }
            return false;
        }
        has_place || self.make_room_for_requests()
    }

    fn take_place(&self) -> bool {
        if self.places.load(Ordering::Relaxed) == 0 {
            return false;
        }
        let one_less = |places: usize| places.checked_sub(1);
        self.places.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_less).is_ok()
    }

    /// Closes the connection that has the most open requests, if there are too many without those
    /// that end already. False if none may be closed.
    fn make_room_for_requests(&self) -> bool {
        let table = self.lock();
        let staying = table.staying();
        let count: usize = staying.iter().map(|one| one.open_requests()).sum();
        if count <= self.max_requests {
            self.places.store(self.max_requests - count, Ordering::Relaxed);
            return true;
        }
        let strangers = staying.iter().copied().filter(|one| !one.has_authenticated()).collect();
        let (half, few) = (self.max_requests / 2, self.max_requests / FEW);
        let victim = heaviest(strangers, 0, few, Activity::open_requests)
            .or_else(|| heaviest(staying, half, few, Activity::open_requests));
        match victim {
            Some(victim) => {
                let staying = count.saturating_sub(victim.open_requests());
                let places = self.max_requests.saturating_sub(staying);
                self.places.store(places, Ordering::Relaxed);
                self.evict(victim);
            }
            None => self.saturation.note(),
        }
        victim.is_some()
    }

    /// A request that was admitted, or refused, has ended.
    pub(super) fn end_request(&self) {
        self.requests.dec();
    }

    fn evict(&self, victim: &Activity) {
        victim.evict();
        self.metrics.evicted(self.kind);
    }

    /// The connections that may be closed for another one: of sources with more than `share`, the
    /// heaviest first, and of each the longest idle. One with an open request may be closed only
    /// if its source has many. Idle ones of trusted proxies come last.
    fn idle_first<'a>(&self, open: Vec<&'a Arc<Activity>>, share: usize) -> Vec<&'a Arc<Activity>> {
        let load = load(&open, |_| 1);
        let may_be_closed = |one: &Activity| match one.owner() {
            Owner::TrustedProxy => share == 0 && one.open_requests() == 0,
            owner @ Owner::Source(_) => {
                let load = load[&owner];
                load > share && (one.open_requests() == 0 || load > self.max_connections / HEAVY)
            }
        };
        let mut victims: Vec<_> = open.into_iter().filter(|one| may_be_closed(one)).collect();
        victims.sort_by_cached_key(|one| {
            let is_trusted = one.owner() == Owner::TrustedProxy;
            // Sources with few connections count alike: a caller with four of them is not worse
            // than a thousand attackers with one each.
            let load = load[&one.owner()].max(self.max_connections / FEW);
            (is_trusted, Reverse(load), one.open_requests() > 0, one.last())
        });
        victims
    }

    /// Nothing under the lock panics, so it cannot be poisoned.
    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    /// The connections that were not told to make way.
    fn staying(&self) -> Vec<&Arc<Activity>> {
        self.connections.values().filter(|one| !one.is_leaving()).collect()
    }

    /// All connections, unless some were told to make way. Those end in a moment, and to close more
    /// meanwhile would cost honest newcomers their connections too.
    fn unless_some_leave(&self) -> Option<Vec<&Arc<Activity>>> {
        let is_quiet = !self.connections.values().any(|one| one.is_leaving());
        is_quiet.then(|| self.connections.values().collect())
    }
}

/// The connection with the most weight, of the source with the most, if that is more than `share`.
/// Up to `few` all count alike, and the longest idle is chosen. Trusted proxies carry the requests
/// of many, and bound those of each themselves.
fn heaviest(
    open: Vec<&Arc<Activity>>,
    share: usize,
    few: usize,
    weight: impl Fn(&Activity) -> usize,
) -> Option<&Arc<Activity>> {
    let load = load(&open, &weight);
    open.into_iter()
        .filter(|one| weight(one) > 0 && one.owner() != Owner::TrustedProxy)
        .filter(|one| load[&one.owner()] > share)
        .max_by_key(|one| (load[&one.owner()].max(few), weight(one).max(few), Reverse(one.last())))
}

/// The sum of a weight for each owner.
fn load(open: &[&Arc<Activity>], weight: impl Fn(&Activity) -> usize) -> HashMap<Owner, usize> {
    let mut load = HashMap::new();
    for one in open {
        *load.entry(one.owner()).or_default() += weight(one);
    }
    load
}

impl Entry {
    /// Corrects whose connection it is, which a proxy or a certificate has shown.
    pub(super) fn belongs_to(&self, peer: &Peer) {
        self.activity.belongs_to(if peer.is_trusted() {
            Owner::TrustedProxy
        } else {
            Owner::Source(peer.source())
        });
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.listener.lock().connections.remove(&self.id);
    }
}

#[cfg(test)]
mod tests;
