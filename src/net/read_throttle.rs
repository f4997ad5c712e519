//! The read throttle slows reading from connections whose requests keep failing.
//!
//! Refusing a wrong secret costs as much as a small request, so a flood of wrong secrets would take
//! a share of the node in proportion to its size. Each source may fail `max_failures_per_second`
//! times at full speed. Beyond that, its recently failing connections share read slots at that rate
//! (GCRA; `next_read` is the theoretical arrival time), and one slot reads about as much as one
//! request. Unread bytes cost nothing and fill the peer's own flow-control window. Connections that
//! do not fail are never slowed, even if they come from the same address.
//!
//! A *shared* connection is one of a trusted proxy, or one on which a call has succeeded. It may
//! carry the requests of many callers, so it is never slowed. Instead, the requests of a throttled
//! source on it are marked as `request::Throttled`: those that fail are told to wait, before any
//! query and any hash if their secret failed lately, and are not logged one by one.
//!
//! Rejected: one pause for all failures, followed by reading everything that arrived meanwhile. It
//! is as slow for the peer, but then requests on the same core wait for hundreds of refusals in a
//! row.

use std::{
    io,
    net::IpAddr,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};

use quick_cache::sync::Cache;
use tokio::{
    io::{AsyncRead, ReadBuf},
    time::{Sleep, sleep},
};

/// Maximum sources whose failures are counted.
const SOURCES: usize = 10_000;

/// Burst tolerance: how far the failures of a source may run ahead of the unthrottled rate.
const BURST: Duration = Duration::from_millis(100);

/// How long a connection counts as failing after a failure, and how long a source stays throttled
/// after it exceeded the rate; each wait for a slot starts both times again.
const LATELY: Duration = Duration::from_secs(1);

/// Maximum wait for a slot, so that a peer can still show that it is alive. If all slots within
/// this time are taken, the connection waits this long and asks again.
const LONGEST_WAIT: Duration = Duration::from_millis(250);

/// How long an unused slot may be taken after its time, because timers wake late.
const SLACK: Duration = Duration::from_millis(5);

/// Bytes read per slot: about one request with its credentials.
const SLOT_BYTES: usize = 256;

/// The read throttles of all sources.
#[derive(Clone)]
pub(super) struct ReadThrottles {
    /// Time that one failure or one slot takes (emission interval). `None` without a limit.
    each: Option<Duration>,
    origin: Instant,
    sources: Arc<Cache<IpAddr, Arc<Source>>>,
    /// Until when any source is throttled, so that nothing is looked up while none is.
    slow_until: Arc<AtomicU64>,
}

/// State that all connections of a source share. Times are in microseconds since `origin`.
#[derive(Default)]
struct Source {
    /// Theoretical arrival time: when the next failure is unthrottled, or the next slot is due.
    next_read: AtomicU64,
    /// Until when its failing connections need slots, and its requests on others are throttled.
    slow_until: AtomicU64,
    /// Until when its new connections count as failing.
    suspect_until: AtomicU64,
}

impl ReadThrottles {
    /// Each source has `failures_per_second` unthrottled failures; 0 turns the throttle off.
    pub(super) fn new(failures_per_second: u32) -> Self {
        let each = Duration::from_secs(1).checked_div(failures_per_second);
        let (sources, slow_until) = (Arc::new(Cache::new(SOURCES)), Arc::default());
        Self { each, origin: Instant::now(), sources, slow_until }
    }

    /// The throttle of a new connection from `address`, which is shared if a trusted proxy made it.
    pub(super) fn of(&self, address: IpAddr, is_shared: bool) -> Arc<ReadThrottle> {
        let source = self.source(address);
        let failed_until = AtomicU64::new(source.suspect_until.load(Ordering::Relaxed));
        let (all, is_shared) = (self.clone(), AtomicBool::new(is_shared));
        Arc::new(ReadThrottle { all, address, source, failed_until, is_shared })
    }

    /// Records that a connection from `address` had to make way. For a moment the new ones count as
    /// failing, so that opening them again and again gains nothing.
    pub(super) fn evicted(&self, address: IpAddr) {
        if self.each.is_some() {
            let (source, now) = (self.source(address), self.now());
            source.suspect_until.store(now + micros(LATELY), Ordering::Relaxed);
            self.slow(&source, now);
        }
    }

    fn source(&self, address: IpAddr) -> Arc<Source> {
        let fresh = || Ok::<_, std::convert::Infallible>(Arc::default());
        let Ok(source) = self.sources.get_or_insert_with(&address, fresh);
        source
    }

    fn now(&self) -> u64 {
        micros(self.origin.elapsed())
    }

    /// Throttles a source for a while.
    fn slow(&self, source: &Source, now: u64) {
        let until = now + micros(LATELY);
        source.slow_until.store(until, Ordering::Relaxed);
        self.slow_until.fetch_max(until, Ordering::Relaxed);
    }
}

/// The throttle of one connection.
pub(super) struct ReadThrottle {
    all: ReadThrottles,
    /// The source of the connection itself.
    address: IpAddr,
    source: Arc<Source>,
    /// Until when this connection counts as failing.
    failed_until: AtomicU64,
    is_shared: AtomicBool,
}

/// When a connection may be read.
#[derive(Debug, PartialEq, Eq)]
enum Slot {
    /// Without a slot: the connection is not throttled.
    Always,
    /// One slot, after this wait.
    In(Duration),
    /// No slot within `LONGEST_WAIT`; ask again after it.
    Later,
}

impl ReadThrottle {
    /// Whether a request of `source` on this connection is throttled. Never true for a connection
    /// that is slowed as a whole.
    pub(super) fn is_throttled(&self, source: IpAddr) -> bool {
        let latest = self.all.slow_until.load(Ordering::Relaxed);
        if latest == 0 || !self.is_shared.load(Ordering::Relaxed) {
            return false;
        }
        let now = self.all.now();
        let is_slow = |source: Arc<Source>| source.slow_until.load(Ordering::Relaxed) > now;
        latest > now && self.all.sources.get(&source).is_some_and(is_slow)
    }

    /// Records that a call on this connection succeeded.
    pub(super) fn succeeded(&self) {
        self.is_shared.store(true, Ordering::Relaxed);
    }

    /// Records that a request of `source` on this connection was refused.
    pub(super) fn failed(&self, source: IpAddr) {
        let Some(each) = self.all.each else { return };
        let now = self.all.now();
        self.failed_until.store(now + micros(LATELY), Ordering::Relaxed);
        let state =
            if source == self.address { Arc::clone(&self.source) } else { self.all.source(source) };
        let is_slow = state.slow_until.load(Ordering::Relaxed) > now;
        // While a connection is slowed, slots are counted instead of failures.
        if is_slow && !self.is_shared.load(Ordering::Relaxed) {
            return;
        }
        let pay = |next_read: u64| {
            (next_read <= now + micros(BURST)).then(|| next_read.max(now) + micros(each))
        };
        let paid = state.next_read.fetch_update(Ordering::Relaxed, Ordering::Relaxed, pay);
        if paid.is_err() {
            self.all.slow(&state, now);
            if !is_slow {
                tracing::info!(%source, "requests of a source keep failing; they are throttled");
            }
        }
    }

    /// Takes a slot, if the connection needs one.
    fn take_slot(&self) -> Slot {
        let Some(each) = self.all.each else { return Slot::Always };
        let now = self.all.now();
        let Source { next_read, slow_until, .. } = &*self.source;
        let needed =
            self.failed_until.load(Ordering::Relaxed).min(slow_until.load(Ordering::Relaxed));
        if needed <= now || self.is_shared.load(Ordering::Relaxed) {
            return Slot::Always;
        }
        let turn = |next_read: u64| next_read.max(now.saturating_sub(micros(SLACK)));
        let taken = next_read.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |next_read| {
            (turn(next_read) <= now + micros(LONGEST_WAIT)).then(|| turn(next_read) + micros(each))
        });
        let wait = taken.map(|before| turn(before).saturating_sub(now));
        // As long as there is a queue, a connection that waits in it stays there. Otherwise all of
        // them would be read at the same moment, a second later.
        if wait != Ok(0) {
            self.all.slow(&self.source, now);
            self.failed_until.store(now + micros(LATELY), Ordering::Relaxed);
        }
        wait.map_or(Slot::Later, |wait| Slot::In(Duration::from_micros(wait)))
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

/// A reader that waits for the slots of a throttle.
pub(super) struct ThrottledReader<R> {
    reader: R,
    throttle: Arc<ReadThrottle>,
    state: State,
}

enum State {
    /// Has to ask for a slot.
    Ask,
    /// No slot was free: waits before asking again.
    Again(Pin<Box<Sleep>>),
    /// Waits for its slot.
    Slot(Pin<Box<Sleep>>),
    /// Has a slot, and nothing to read so far.
    Now,
}

impl<R> ThrottledReader<R> {
    pub(super) const fn new(reader: R, throttle: Arc<ReadThrottle>) -> Self {
        Self { reader, throttle, state: State::Ask }
    }
}

impl<R: AsyncRead + Unpin> AsyncRead for ThrottledReader<R> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            self.state = match &mut self.state {
                State::Ask => match self.throttle.take_slot() {
                    Slot::Always => return Pin::new(&mut self.reader).poll_read(context, buffer),
                    Slot::In(Duration::ZERO) => State::Now,
                    Slot::In(wait) => State::Slot(Box::pin(sleep(wait))),
                    Slot::Later => State::Again(Box::pin(sleep(LONGEST_WAIT))),
                },
                State::Again(wait) => {
                    ready!(wait.as_mut().poll(context));
                    State::Ask
                }
                State::Slot(wait) => {
                    ready!(wait.as_mut().poll(context));
                    State::Now
                }
                State::Now => {
                    ready!(read_a_little(Pin::new(&mut self.reader), context, buffer))?;
                    self.state = State::Ask;
                    return Poll::Ready(Ok(()));
                }
            };
        }
    }
}

/// Reads at most the bytes of one slot.
fn read_a_little<R: AsyncRead>(
    reader: Pin<&mut R>,
    context: &mut Context<'_>,
    buffer: &mut ReadBuf<'_>,
) -> Poll<io::Result<()>> {
    let mut bytes = [0; SLOT_BYTES];
    let mut little = ReadBuf::new(&mut bytes[..SLOT_BYTES.min(buffer.remaining())]);
    ready!(reader.poll_read(context, &mut little))?;
    buffer.put_slice(little.filled());
    Poll::Ready(Ok(()))
}

#[cfg(test)]
mod tests;
