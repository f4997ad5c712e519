//! Writes down the uses of secrets that the node has counted. Requests never wait for this.

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::Mutex,
    time::{Instant, MissedTickBehavior, interval_at, timeout},
};
use tokio_util::sync::CancellationToken;

use super::retiring_uses::RetiringWatch;
use crate::{
    credentials::{Counted, Uses},
    domain::{Clock, Error, SecretId, SecretUse, Timestamp, chain},
    store::Store,
};

/// After how many intervals without a word a node counts as gone.
const DUE_AFTER: u32 = 3;

/// Maximum secrets per statement, so that none holds a connection for long.
const BATCH: usize = 2_000;

/// Timeout for the last writing of a node that stops. What is lost then is known to be a gap.
const LAST: Duration = Duration::from_secs(2);

/// By how much a clock may advance differently from the uptime, and by how much more for each
/// thousandth of the time: clocks are corrected gradually as well.
const NOT_SET: Duration = Duration::from_secs(1);
const GRADUALLY: u32 = 1_000;

/// Evidence of the use of secrets, as far as this node has to write it.
pub(super) struct Recording {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    uses: Arc<Uses>,
    every: Duration,
    /// What was counted and could not be written yet. Locked while it is written.
    unwritten: Mutex<Unwritten>,
}

#[derive(Default)]
struct Unwritten {
    counted: Counted,
    lost_since: Option<Timestamp>,
    /// The clocks when it was tried last; `None` before the node serves.
    last: Option<Reading>,
}

/// The clock and the uptime, read together.
#[derive(Debug, Clone, Copy)]
struct Reading {
    now: Timestamp,
    uptime: Duration,
}

impl Reading {
    fn of(clock: &dyn Clock) -> Self {
        Self { now: clock.now(), uptime: clock.uptime() }
    }

    /// Since when the times of uses are not known, if the clock was set since `earlier`: the
    /// earlier of both times. A use that was counted before may be as late as the later one.
    fn wrong_since(self, earlier: Self) -> Option<Timestamp> {
        let elapsed = self.uptime.saturating_sub(earlier.uptime);
        let expected = earlier.now.plus(elapsed);
        let off = self.now.since(expected).max(expected.since(self.now));
        (off > NOT_SET + elapsed / GRADUALLY).then(|| earlier.now.min(self.now))
    }
}

impl Recording {
    /// Announces that this node counts uses, which it does before it serves.
    ///
    /// # Errors
    /// Errors of the store.
    pub(super) async fn begin(
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
        uses: Arc<Uses>,
        every: Duration,
    ) -> Result<Arc<Self>, Error> {
        store.begin_evidence(clock.now(), every * DUE_AFTER).await?;
        uses.set_written(clock.uptime());
        Ok(Arc::new(Self { store, clock, uses, every, unwritten: Mutex::default() }))
    }

    /// Writes at each interval until the node stops. Only the first failure in a row is logged.
    pub(super) async fn run(self: Arc<Self>, stop: CancellationToken) {
        let mut rounds = interval_at(Instant::now() + self.every, self.every);
        rounds.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut is_behind, mut retiring) = (false, RetiringWatch::default());
        self.unwritten.lock().await.last = Some(Reading::of(&*self.clock));
        while stop.run_until_cancelled(rounds.tick()).await.is_some() {
            retiring.tell(self.uses.take_retiring(), self.clock.uptime());
            let written = self.write().await;
            if let Err(error) = &written
                && !is_behind
            {
                let cause = chain(error);
                tracing::warn!(cause, "cannot write down the uses of secrets; trying again");
            }
            is_behind = written.is_err();
        }
    }

    /// Writes for the last time. The caller has ended all requests.
    pub(super) async fn end(&self) {
        let last = async {
            self.write().await?;
            self.store.end_evidence().await
        };
        if !matches!(timeout(LAST, last).await, Ok(Ok(()))) {
            tracing::warn!("stopped before the last uses of secrets were written down");
        }
    }

    /// Writes everything that was counted until now. After a failure the rest is kept for the next
    /// time. If the clock was set meanwhile, the uses have wrong times, and that is a gap.
    async fn write(&self) -> Result<(), Error> {
        let mut unwritten = self.unwritten.lock().await;
        let Unwritten { counted, lost_since, last } = &mut *unwritten;
        let began = Reading::of(&*self.clock);
        let wrong = last.replace(began).and_then(|last| began.wrong_since(last));
        if wrong.is_some() {
            tracing::warn!("the clock was set: until now it is not known which secrets were used");
        }
        let lost = self.uses.take_into(counted);
        *lost_since = [*lost_since, lost, wrong].into_iter().flatten().min();
        while !counted.is_empty() {
            let batch: Vec<(SecretId, SecretUse)> =
                counted.iter().take(BATCH).map(|(id, uses)| (*id, uses.clone())).collect();
            self.store.record_uses(&batch).await?;
            for (id, _) in &batch {
                counted.remove(id);
            }
        }
        self.store.mark_evidence(began.now, self.every * DUE_AFTER, *lost_since).await?;
        *lost_since = None;
        self.uses.set_written(began.uptime);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: i64 = 3_600;

    fn reading(now: i64, uptime: u64) -> Reading {
        let now = Timestamp::from_unix_micros(now * 1_000_000);
        Reading { now, uptime: Duration::from_secs(uptime) }
    }

    /// Seconds by which the clock and the uptime advance, and since when times may be wrong.
    #[test]
    fn a_clock_that_is_set_makes_a_gap_and_one_that_runs_does_not() {
        let rows: [(i64, u64, Option<i64>); 9] = [
            (0, 0, None),
            (10, 10, None),
            (10, 11, None),
            (11, 10, None),
            (10 + 30 * HOUR, 10, Some(0)),
            (10 - 30 * HOUR, 10, Some(10 - 30 * HOUR)),
            (12, 10, Some(0)),
            // Slowed down or sped up by 500 parts in a million, which is usual.
            (2 * HOUR + 4, 7_200, None),
            (2 * HOUR - 4, 7_200, None),
        ];
        for (clock, uptime, expected) in rows {
            let wrong = reading(clock, 100 + uptime).wrong_since(reading(0, 100));
            assert_eq!(wrong, expected.map(|at| reading(at, 0).now), "{clock} {uptime}");
        }
    }
}
