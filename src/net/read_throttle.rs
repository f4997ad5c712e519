//! Who is turned away again and again is read more slowly.
//!
//! To refuse a wrong secret costs as much as a small request, and a flood of them would take a
//! share of the node that goes by its size. So a source has a number of failures a second for free.
//! When it has had more, those of its connections that failed lately take turns, so many a second,
//! and one turn reads about as much as one request. What is not read costs nothing, and the peer's
//! own window fills. Connections that do not fail are never slowed, whoever is at the same address.
//!
//! A pause for all that is owed and then all that has come meanwhile would be as slow for the peer,
//! but whoever shares a core with hundreds of refusals at once waits for all of them.

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

/// Sources whose failures are remembered.
const SOURCES: usize = 10_000;

/// Failures may come in a burst of so long.
const BURST: Duration = Duration::from_millis(100);

/// For how long a connection that failed counts as one that fails, and a source that had to wait
/// for a turn as one that has too many.
const LATELY: Duration = Duration::from_secs(1);

/// The longest wait for a turn: a peer must be able to show that it is still there. Who finds the
/// turns of so long taken waits for so long and asks again.
const LONGEST_WAIT: Duration = Duration::from_millis(250);

/// Turns that passed untaken are kept for so long, since timers wake late.
const SLACK: Duration = Duration::from_millis(5);

/// What one turn reads: about a request with its credentials.
const TURN_BYTES: usize = 256;

/// The throttles of all sources.
#[derive(Clone)]
pub(super) struct ReadThrottles {
    /// What one failure takes; none without a limit.
    each: Option<Duration>,
    origin: Instant,
    sources: Arc<Cache<IpAddr, Arc<Source>>>,
}

/// What all connections of a source share, in microseconds since the origin.
#[derive(Default)]
struct Source {
    /// By when its failures are paid for, and when its next turn is.
    next_read: AtomicU64,
    /// Until when its failing connections take turns.
    slow_until: AtomicU64,
}

impl ReadThrottles {
    /// So many failures a second are free for a source; zero is no limit.
    pub(super) fn new(failures_per_second: u32) -> Self {
        let each = Duration::from_secs(1).checked_div(failures_per_second);
        Self { each, origin: Instant::now(), sources: Arc::new(Cache::new(SOURCES)) }
    }

    /// That of one connection.
    pub(super) fn of(&self, source: IpAddr) -> Arc<ReadThrottle> {
        let fresh = || Ok::<_, std::convert::Infallible>(Arc::default());
        let Ok(source) = self.sources.get_or_insert_with(&source, fresh);
        let (each, origin) = (self.each, self.origin);
        Arc::new(ReadThrottle { each, origin, source, failed_until: AtomicU64::new(0) })
    }
}

/// The throttle of a connection.
pub(super) struct ReadThrottle {
    each: Option<Duration>,
    origin: Instant,
    source: Arc<Source>,
    /// Until when this connection counts as one that fails.
    failed_until: AtomicU64,
}

/// When a connection may be read.
#[derive(Debug, PartialEq, Eq)]
enum Slot {
    /// It does not fail.
    Always,
    /// Once, after so long.
    In(Duration),
    /// The turns are taken for so long that it has to ask again after it.
    Later,
}

impl ReadThrottle {
    /// Notes that a request of this connection was turned away.
    pub(super) fn failed(&self) {
        let Some(each) = self.each else { return };
        let now = micros(self.origin.elapsed());
        let Source { next_read, slow_until } = &*self.source;
        self.failed_until.store(now + micros(LATELY), Ordering::Relaxed);
        // While it takes turns, these are what is counted.
        if slow_until.load(Ordering::Relaxed) > now {
            return;
        }
        let pay = |next_read: u64| Some(next_read.max(now) + micros(each));
        let before = next_read.fetch_update(Ordering::Relaxed, Ordering::Relaxed, pay);
        if before.is_ok_and(|before| before > now + micros(BURST)) {
            slow_until.store(now + micros(LATELY), Ordering::Relaxed);
        }
    }

    /// Takes a turn, if the connection needs one.
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

/// What is read with a throttle.
pub(super) struct ThrottledReader<R> {
    reader: R,
    throttle: Arc<ReadThrottle>,
    state: State,
}

enum State {
    /// Whether it has to wait is to be asked.
    Ask,
    /// The next question is after a wait.
    Again(Pin<Box<Sleep>>),
    /// Its turn comes.
    Slot(Pin<Box<Sleep>>),
    /// It has a turn, and nothing to read so far.
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

/// Reads what one turn may read.
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
        assert_eq!(elsewhere.take_slot(), Slot::Always, "it is elsewhere");
        good.failed();
        assert!(matches!(good.take_slot(), Slot::In(_)), "another connection is no way around");
        assert!((0..50).any(|_| bad.take_slot() == Slot::Later), "waiting has an end");
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
        assert!(began.elapsed() > Duration::from_millis(50), "a burst was taken, and read at once");
    }
}
