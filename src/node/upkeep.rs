//! What a node does for its stores beside requests, until it stops.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{
    sync::oneshot,
    time::{Interval, MissedTickBehavior, timeout},
};
use tokio_util::sync::CancellationToken;

use super::{Node, probes::Readiness};
use crate::{
    domain::{Clock, Lane, Timestamp, chain},
    rpc::TokenRpc,
    store::Store,
    telemetry::Metrics,
};

/// How often a store is looked after: far more often than partitions are needed.
const UPKEEP: Duration = Duration::from_mins(10);

/// How often the connections to the database are looked at.
const WATCH: Duration = Duration::from_secs(1);

/// How often the lease is looked at.
const LEASE_WATCH: Duration = Duration::from_millis(200);

/// How often it is looked for at a start.
const FIRST_LEASE_LOOK: Duration = Duration::from_millis(5);

/// How long a start waits for the first lease. It serves without one, and is not ready.
const FIRST_LEASE: Duration = Duration::from_secs(5);

impl Node {
    /// Looks at the lease until the node stops. Returns when there is one, or none within reason.
    pub(super) async fn look_after_lease(&self, rpc: TokenRpc) {
        let (readiness, stop) = (Arc::clone(&self.readiness), self.server.stop.clone());
        let (held, first) = oneshot::channel();
        let watch = async move {
            let (mut rounds, mut held) = (every(LEASE_WATCH), Some(held));
            while stop.run_until_cancelled(rounds.tick()).await.is_some() {
                if rpc.may_answer() {
                    readiness.met(Lane::ALL.len());
                    // The node may have begun without it.
                    let _ = held.take().map(|held| held.send(()));
                } else if held.is_some() {
                    rounds.reset_after(FIRST_LEASE_LOOK);
                }
            }
        };
        self.server.spawn(watch);
        if timeout(FIRST_LEASE, first).await.is_err() {
            tracing::warn!("no lease yet: the node serves and is not ready");
        }
    }

    /// Looks after the stores and their connections until the node stops.
    pub(super) fn look_after_stores(&self, clock: &Arc<dyn Clock>, audit_days: u32) {
        let (stop, metrics) = (&self.server.stop, &self.server.metrics);
        let store = Arc::clone(&self.stores.issue);
        let (clock, counted) = (Arc::clone(clock), Arc::clone(metrics));
        self.server.spawn(upkeep(store, clock, audit_days, counted, stop.clone()));
        for (number, lane) in Lane::ALL.into_iter().enumerate() {
            // Its schema was just read.
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

/// Looks after the store until the node stops. A failure is tried again in the next round: there is
/// room for a day.
///
/// The log is told where the audit trail ends: it mostly goes to another machine, and whoever cuts
/// rows off the end of the trail, or writes it anew as a whole, cannot change it there.
async fn upkeep(
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    audit_days: u32,
    metrics: Arc<Metrics>,
    stop: CancellationToken,
) {
    let mut looks = every(WATCH);
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
        metrics.looked_after(&round);
        match round {
            Ok((done, head)) => {
                tracing::debug!(?done, "looked after the store");
                if let Some(mark) = head.filter(|mark| told != Some(*mark)) {
                    tracing::info!(%mark, "the audit trail");
                    told = Some(mark);
                }
            }
            Err(error) => {
                tracing::warn!(cause = chain(&error), "the store could not be looked after");
            }
        }
    }
}

/// Whether it is time for a round: the period is over, or the clock was set, as it is after a
/// machine has slept. Partitions are made around what the clock says, which may be another day.
fn is_due((began, then): (Instant, Timestamp), now: Timestamp) -> bool {
    began.elapsed() >= UPKEEP || now.since(then).max(then.since(now)) >= UPKEEP
}

/// A store that is looked at, and who is told.
struct StoreProbe {
    store: Arc<dyn Store>,
    number: usize,
    lane: &'static str,
    metrics: Arc<Metrics>,
    readiness: Arc<Readiness>,
}

/// Looks at the connections of a store until the node stops, so that it mends them. The first
/// failure in a row is told, the others are not: requests that fail tell of themselves.
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

/// A round that took long is not made up for.
fn every(period: Duration) -> Interval {
    let mut rounds = tokio::time::interval(period);
    rounds.set_missed_tick_behavior(MissedTickBehavior::Delay);
    rounds
}
