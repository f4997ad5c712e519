//! The read throttle slows reading from connections whose requests keep failing.
//!
//! Refusing a wrong secret costs as much as a small request, so a flood of wrong secrets would take
//! a share of the node in proportion to its size. Each source may fail `max_failures_per_second`
//! times at full speed. Beyond that, its recently failing connections share read slots at that rate
//! (GCRA; `next_read` is the theoretical arrival time), and one slot reads about as much as one
//! request. Unread bytes cost nothing and fill the peer's own flow-control window. Connections that
//! do not fail are never slowed, even if they come from the same address.
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
        atomic::{AtomicU64, Ordering},
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
/// after it exceeded the rate or one of its connections had to wait for a slot.
const LATELY: Duration = Duration::from_secs(1);

/// Maximum wait for a slot, so that a peer can still show that it is alive. If all slots within
/// this time are taken, the connection waits this long and asks again.
const LONGEST_WAIT: Duration = Duration::from_millis(250);

/// How long an unused slot may be taken after its time, because timers wake late.
const SLACK: Duration = Duration::from_millis(5);

/// Bytes read per slot: about one request with its credentials.
const TURN_BYTES: usize = 256;

/// The read throttles of all sources.
#[derive(Clone)]
pub(super) struct ReadThrottles {
    /// Time that one failure or one slot takes (emission interval). `None` without a limit.
    each: Option<Duration>,
    origin: Instant,
    sources: Arc<Cache<IpAddr, Arc<Source>>>,
}

/// State that all connections of a source share. Times are in microseconds since `origin`.
#[derive(Default)]
struct Source {
    /// Theoretical arrival time: when the next failure is unthrottled, or the next slot is due.
    next_read: AtomicU64,
    /// Until when its failing connections need slots.
    slow_until: AtomicU64,
}

impl ReadThrottles {
    /// Each source has `failures_per_second` unthrottled failures; 0 turns the throttle off.
    pub(super) fn new(failures_per_second: u32) -> Self {
        let each = Duration::from_secs(1).checked_div(failures_per_second);
        Self { each, origin: Instant::now(), sources: Arc::new(Cache::new(SOURCES)) }
    }

    /// The throttle of a new connection from `source`.
    pub(super) fn of(&self, source: IpAddr) -> Arc<ReadThrottle> {
        let fresh = || Ok::<_, std::convert::Infallible>(Arc::default());
        let Ok(source) = self.sources.get_or_insert_with(&source, fresh);
        let (each, origin) = (self.each, self.origin);
        Arc::new(ReadThrottle { each, origin, source, failed_until: AtomicU64::new(0) })
    }
}

/// The throttle of one connection.
pub(super) struct ReadThrottle {
    each: Option<Duration>,
    origin: Instant,
    source: Arc<Source>,
    /// Until when this connection counts as failing.
    failed_until: AtomicU64,
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
    /// Records that a request of this connection was refused.
    pub(super) fn failed(&self) {
        let Some(each) = self.each else { return };
        let now = micros(self.origin.elapsed());
        let Source { next_read, slow_until } = &*self.source;
        self.failed_until.store(now + micros(LATELY), Ordering::Relaxed);
        // While the source is throttled, slots are counted instead of failures.
        if slow_until.load(Ordering::Relaxed) > now {
            return;
        }
        let pay = |next_read: u64| Some(next_read.max(now) + micros(each));
        let before = next_read.fetch_update(Ordering::Relaxed, Ordering::Relaxed, pay);
        if before.is_ok_and(|before| before > now + micros(BURST)) {
            slow_until.store(now + micros(LATELY), Ordering::Relaxed);
        }
    }

    /// Takes a slot, if the connection needs one.
    fn take_slot(&self) -> Slot {
        let Some(each) = self.each else { return Slot::Always };
        let now = micros(self.origin.elapsed());
        let Source { next_read, slow_until } = &*self.source;
        if self.failed_until.load(Ordering::Relaxed).min(slow_until.load(Ordering::Relaxed)) <= now
        {
            return Slot::Always;
        }
        let turn = |next_read: u64| next_read.max(now.saturating_sub(micros(SLACK)));
        let taken = next_read.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |next_read| {
            (turn(next_read) <= now + micros(LONGEST_WAIT)).then(|| turn(next_read) + micros(each))
        });
        let wait = taken.map(|before| turn(before).saturating_sub(now));
        if wait != Ok(0) {
            slow_until.store(now + micros(LATELY), Ordering::Relaxed);
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
    let mut bytes = [0; TURN_BYTES];
    let mut little = ReadBuf::new(&mut bytes[..TURN_BYTES.min(buffer.remaining())]);
    ready!(reader.poll_read(context, &mut little))?;
    buffer.put_slice(little.filled());
    Poll::Ready(Ok(()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    const ONE: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
    const OTHER: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 2));

    #[test]
    fn only_connections_that_fail_too_often_take_turns() {
        let throttles = ReadThrottles::new(100);
        let (bad, good, elsewhere) = (throttles.of(ONE), throttles.of(ONE), throttles.of(OTHER));
        (0..5).for_each(|_| bad.failed());
        assert_eq!(bad.take_slot(), Slot::Always, "a burst is free");
        (0..100).for_each(|_| bad.failed());
        assert!(matches!(bad.take_slot(), Slot::In(wait) if wait > Duration::from_millis(80)));
        assert_eq!(good.take_slot(), Slot::Always, "it did not fail");
        elsewhere.failed();
        assert_eq!(elsewhere.take_slot(), Slot::Always, "another source");
        good.failed();
        assert!(matches!(good.take_slot(), Slot::In(_)), "a new connection is no escape");
        assert!((0..50).any(|_| bad.take_slot() == Slot::Later), "the wait is bounded");
        assert_eq!(good.take_slot(), Slot::Later);
    }

    #[test]
    fn without_a_limit_nobody_is_slowed() {
        let throttle = ReadThrottles::new(0).of(ONE);
        (0..10_000).for_each(|_| throttle.failed());
        assert_eq!(throttle.take_slot(), Slot::Always);
    }

    #[tokio::test]
    async fn what_is_slowed_is_read_later_and_whole() {
        use tokio::io::AsyncReadExt;
        let throttle = ReadThrottles::new(100).of(ONE);
        (0..20).for_each(|_| throttle.failed());
        let sent = vec![7; 5 * TURN_BYTES];
        let mut reader = ThrottledReader::new(&sent[..], Arc::clone(&throttle));
        let mut read = Vec::new();
        let began = Instant::now();
        reader.read_to_end(&mut read).await.unwrap();
        assert_eq!(read, sent);
        assert!(began.elapsed() > Duration::from_millis(50), "it did not wait for slots");
    }
}
