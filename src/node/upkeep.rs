//! Background tasks of a node: upkeep of the database, and checks of the database and the lease.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{
    sync::oneshot,
    time::{Interval, MissedTickBehavior, timeout},
};
use tokio_util::sync::CancellationToken;

use super::{Node, probes::Readiness, secret_expiry::ExpiryWatch};
use crate::{
    domain::{Clock, Lane, Timestamp, chain},
    rpc::TokenRpc,
    store::Store,
    telemetry::Metrics,
};

/// Interval of upkeep. Partitions exist a day ahead, so a missed round does no harm.
const UPKEEP: Duration = Duration::from_mins(10);

/// Interval of the database checks.
const WATCH: Duration = Duration::from_secs(1);

/// Interval of the lease checks.
const LEASE_WATCH: Duration = Duration::from_millis(200);

/// Interval of the lease checks before the first lease.
const FIRST_LEASE_LOOK: Duration = Duration::from_millis(5);

/// How long a start waits for the first lease. After that the node serves, but is not ready.
const FIRST_LEASE: Duration = Duration::from_secs(5);

impl Node {
    /// Starts the lease checks, which run until the node stops. Returns once there is a lease, or
    /// after `FIRST_LEASE` without one.
    pub(super) async fn look_after_lease(&self, rpc: TokenRpc) {
        let (readiness, stop) = (Arc::clone(&self.readiness), self.server.stop.clone());
        let (held, first) = oneshot::channel();
        let watch = async move {
            let (mut rounds, mut held) = (every(LEASE_WATCH), Some(held));
            while stop.run_until_cancelled(rounds.tick()).await.is_some() {
                if rpc.may_answer() {
                    readiness.met(Lane::ALL.len());
                    // This fails if the start no longer waits for the lease.
                    let _ = held.take().map(|held| held.send(()));
                } else if held.is_some() {
                    rounds.reset_after(FIRST_LEASE_LOOK);
                }
            }
        };
        self.server.spawn(watch);
        if timeout(FIRST_LEASE, first).await.is_err() {
            tracing::warn!("no lease yet: serving, but not ready");
        }
    }

    /// Starts upkeep and the database checks, which run until the node stops.
    pub(super) fn look_after_stores(&self, clock: &Arc<dyn Clock>, audit_days: u32) {
        let (stop, metrics) = (&self.server.stop, &self.server.metrics);
        let store = Arc::clone(&self.stores.issue);
        let (clock, counted) = (Arc::clone(clock), Arc::clone(metrics));
        self.server.spawn(upkeep(store, clock, audit_days, counted, stop.clone()));
        for (number, lane) in Lane::ALL.into_iter().enumerate() {
            // The schema has just been read, so the database answers.
            self.readiness.met(number);
            let probe = StoreProbe {
                store: Arc::clone(self.stores.of(lane)),
                number,
                lane: lane.as_str(),
                metrics: Arc::clone(metrics),
                readiness: Arc::clone(&self.readiness),
            };
            self.server.spawn(watch(probe, stop.clone()));
        }
    }
}

/// Runs upkeep until the node stops. A failure is retried in the next round, because partitions
/// exist for a day ahead.
///
/// The head of the audit trail is logged whenever it changes. The log usually goes to another
/// machine, so an attacker who cuts rows off the end of the trail, or rewrites all of it, cannot
/// change the record there.
async fn upkeep(
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    audit_days: u32,
    metrics: Arc<Metrics>,
    stop: CancellationToken,
) {
    let mut looks = every(WATCH);
    let mut expiry = ExpiryWatch::new(Arc::clone(&store), Arc::clone(&metrics));
    let mut last: Option<(Instant, Timestamp)> = None;
    let mut told = None;
    while stop.run_until_cancelled(looks.tick()).await.is_some() {
        if last.is_some_and(|last| !is_due(last, clock.now())) {
            continue;
        }
        last = Some((Instant::now(), clock.now()));
        let round = async {
            let done = store.upkeep(clock.now(), audit_days).await?;
            Ok((done, store.audit_head().await?))
        };
        let round = round.await;
        if let Err(error) = expiry.look(clock.now()).await {
            tracing::warn!(cause = chain(&error), "cannot look for client secrets that end soon");
        }
        // A round that is counted sends no statement any more.
        metrics.looked_after(&round);
        match round {
            Ok((done, head)) => {
                tracing::debug!(?done, "finished a round of upkeep");
                if let Some(mark) = head.filter(|mark| told != Some(*mark)) {
                    tracing::info!(%mark, "head of the audit trail");
                    told = Some(mark);
                }
            }
            Err(error) => {
                tracing::warn!(cause = chain(&error), "upkeep failed; retrying in the next round");
            }
        }
    }
}

/// Whether a round is due: the interval is over, or the clock was set, as after a machine has
/// slept. Partitions are created around the time of the clock, which may now be another day.
fn is_due((began, then): (Instant, Timestamp), now: Timestamp) -> bool {
    began.elapsed() >= UPKEEP || now.since(then).max(then.since(now)) >= UPKEEP
}

/// A store to check, and the recipients of the result.
struct StoreProbe {
    store: Arc<dyn Store>,
    number: usize,
    lane: &'static str,
    metrics: Arc<Metrics>,
    readiness: Arc<Readiness>,
}

/// Checks the connections of a store until the node stops, so that broken ones are replaced. Only
/// the first failure in a row is logged, because failing requests are logged anyway.
async fn watch(probe: StoreProbe, stop: CancellationToken) {
    let StoreProbe { store, number, lane, metrics, readiness } = probe;
    let mut rounds = every(WATCH);
    let mut answers = true;
    while stop.run_until_cancelled(rounds.tick()).await.is_some() {
        let began = Instant::now();
        let Some(checked) = stop.run_until_cancelled(store.check()).await else { return };
        metrics.checked(lane, &checked, began.elapsed());
        if checked.is_ok() {
            readiness.met(number);
        }
        match &checked {
            Ok(()) if !answers => tracing::info!("the database answers again"),
            Err(error) if answers => {
                tracing::warn!(cause = chain(error), "the database does not answer");
            }
            _ => {}
        }
        answers = checked.is_ok();
    }
}

/// An interval that does not make up for missed ticks.
fn every(period: Duration) -> Interval {
    let mut rounds = tokio::time::interval(period);
    rounds.set_missed_tick_behavior(MissedTickBehavior::Delay);
    rounds
}
