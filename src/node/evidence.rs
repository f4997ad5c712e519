//! Writes down the uses of secrets that the node has counted. Requests never wait for this.

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::Mutex,
    time::{Instant, MissedTickBehavior, interval_at, timeout},
};
use tokio_util::sync::CancellationToken;

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
        let mut is_behind = false;
        while stop.run_until_cancelled(rounds.tick()).await.is_some() {
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
    /// time.
    async fn write(&self) -> Result<(), Error> {
        let mut unwritten = self.unwritten.lock().await;
        let Unwritten { counted, lost_since } = &mut *unwritten;
        let (began, uptime) = (self.clock.now(), self.clock.uptime());
        let lost = self.uses.take_into(counted);
        *lost_since = [*lost_since, lost].into_iter().flatten().min();
        while !counted.is_empty() {
            let batch: Vec<(SecretId, SecretUse)> =
                counted.iter().take(BATCH).map(|(id, uses)| (*id, uses.clone())).collect();
            self.store.record_uses(&batch).await?;
            for (id, _) in &batch {
                counted.remove(id);
            }
        }
        self.store.mark_evidence(began, self.every * DUE_AFTER, *lost_since).await?;
        *lost_since = None;
        self.uses.set_written(uptime);
        Ok(())
    }
}
