//! Who is turned away again and again is read more slowly.
//!
//! To refuse a wrong secret costs as much as a small request, and a flood of them would take a
//! share of the node that goes by its size. So a source has a number of failures a second for free;
//! beyond it, those of its connections that failed lately are not read until it has one again. What
//! is not read costs nothing, and the peer's own window fills. Connections that do not fail are
//! never slowed, whoever is at the same address.

use std::{
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

/// For how long a connection that failed counts as one that fails.
const LATELY: Duration = Duration::from_secs(1);

/// The longest pause of a reader. It is short, so that pings are answered in time.
const LONGEST_PAUSE: Duration = Duration::from_millis(250);

/// The brakes of all sources.
#[derive(Clone)]
pub(super) struct Brakes {
    /// What one failure takes; none without a limit.
    each: Option<Duration>,
    origin: Instant,
    /// By when the failures of a source are paid for, in microseconds since the origin.
    paid_by: Arc<Cache<IpAddr, Arc<AtomicU64>>>,
}

impl Brakes {
    /// So many failures a second are free for a source; zero is no limit.
    pub(super) fn new(failures_per_second: u32) -> Self {
        let each = Duration::from_secs(1).checked_div(failures_per_second);
        Self { each, origin: Instant::now(), paid_by: Arc::new(Cache::new(SOURCES)) }
    }

    /// That of one connection.
    pub(super) fn of(&self, source: IpAddr) -> Arc<Brake> {
        let fresh = || Ok::<_, std::convert::Infallible>(Arc::default());
        let Ok(paid_by) = self.paid_by.get_or_insert_with(&source, fresh);
        let (each, origin) = (self.each, self.origin);
        Arc::new(Brake { each, origin, paid_by, failed_until: AtomicU64::new(0) })
    }
}

/// The brake of a connection.
pub(super) struct Brake {
    each: Option<Duration>,
    origin: Instant,
    paid_by: Arc<AtomicU64>,
    /// Until when this connection counts as one that fails.
    failed_until: AtomicU64,
}

impl Brake {
    /// Notes that a request of this connection was turned away.
    pub(super) fn failed(&self) {
        let Some(each) = self.each else { return };
        let now = self.origin.elapsed();
        self.failed_until.store(micros(now + LATELY), Ordering::Relaxed);
        let pay = |paid_by: u64| Some(paid_by.max(micros(now)) + micros(each));
        let _ = self.paid_by.fetch_update(Ordering::Relaxed, Ordering::Relaxed, pay);
    }

    /// How long this connection is not to be read.
    fn pause(&self) -> Duration {
        let failed_until = self.failed_until.load(Ordering::Relaxed);
        if failed_until == 0 {
            return Duration::ZERO;
        }
        let now = micros(self.origin.elapsed());
        if failed_until < now {
            return Duration::ZERO;
        }
        let owed = self.paid_by.load(Ordering::Relaxed).saturating_sub(now + micros(BURST));
        Duration::from_micros(owed).min(LONGEST_PAUSE)
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

/// What is read with a brake.
pub(super) struct Braked<R> {
    reader: R,
    brake: Arc<Brake>,
    pause: Option<Pin<Box<Sleep>>>,
}

impl<R> Braked<R> {
    pub(super) const fn new(reader: R, brake: Arc<Brake>) -> Self {
        Self { reader, brake, pause: None }
    }
}

impl<R: AsyncRead + Unpin> AsyncRead for Braked<R> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        loop {
            if let Some(pause) = &mut self.pause {
                ready!(pause.as_mut().poll(context));
                self.pause = None;
            }
            match self.brake.pause() {
                Duration::ZERO => return Pin::new(&mut self.reader).poll_read(context, buffer),
                pause => self.pause = Some(Box::pin(sleep(pause))),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    const ONE: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
    const OTHER: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 2));

    #[test]
    fn only_connections_that_fail_too_often_are_slowed() {
        let brakes = Brakes::new(100);
        let (bad, good, elsewhere) = (brakes.of(ONE), brakes.of(ONE), brakes.of(OTHER));
        (0..5).for_each(|_| bad.failed());
        assert_eq!(bad.pause(), Duration::ZERO, "a burst is free");
        (0..100).for_each(|_| bad.failed());
        assert!(bad.pause() > Duration::from_millis(200), "{:?}", bad.pause());
        assert_eq!(good.pause(), Duration::ZERO, "it did not fail");
        elsewhere.failed();
        assert_eq!(elsewhere.pause(), Duration::ZERO, "it is elsewhere");
        good.failed();
        assert!(good.pause() > Duration::ZERO, "another connection is no way around");
    }

    #[test]
    fn without_a_limit_nobody_is_slowed() {
        let brake = Brakes::new(0).of(ONE);
        (0..10_000).for_each(|_| brake.failed());
        assert_eq!(brake.pause(), Duration::ZERO);
    }

    #[tokio::test]
    async fn what_is_slowed_is_read_later_and_whole() {
        use tokio::io::AsyncReadExt;
        let brake = Brakes::new(100).of(ONE);
        (0..20).for_each(|_| brake.failed());
        let mut reader = Braked::new(&b"all of it"[..], Arc::clone(&brake));
        let mut text = String::new();
        let began = Instant::now();
        reader.read_to_string(&mut text).await.unwrap();
        assert_eq!(text, "all of it");
        assert!(began.elapsed() > Duration::from_millis(50), "twice a burst, and read at once");
    }
}
