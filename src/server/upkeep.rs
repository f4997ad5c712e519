//! What a node does for its stores beside requests, until it stops.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::time::{Interval, MissedTickBehavior};
use tokio_util::sync::CancellationToken;

use crate::{
    domain::{Clock, chain},
    store::Store,
    telemetry::Metrics,
};

use super::admin::Readiness;

/// How often a store is looked after: far more often than partitions are needed.
const UPKEEP: Duration = Duration::from_mins(10);

/// How often the connections to the database are looked at.
const WATCH: Duration = Duration::from_secs(1);

/// Looks after the store until the node stops. A failure is tried again in the next round: there is
/// room for a day.
pub(super) async fn upkeep(
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    metrics: Arc<Metrics>,
    stop: CancellationToken,
) {
    let mut rounds = every(UPKEEP);
    while stop.run_until_cancelled(rounds.tick()).await.is_some() {
        let round = store.upkeep(clock.now()).await;
        metrics.looked_after(&round);
        match round {
            Ok(done) => tracing::debug!(?done, "looked after the store"),
            Err(error) => {
                tracing::warn!(cause = chain(&error), "the store could not be looked after");
            }
        }
    }
}

/// A store that is looked at, and who is told.
pub(super) struct Watched {
    pub(super) store: Arc<dyn Store>,
    pub(super) number: usize,
    pub(super) lane: &'static str,
    pub(super) metrics: Arc<Metrics>,
    pub(super) readiness: Arc<Readiness>,
}

/// Looks at the connections of a store until the node stops, so that it mends them. The first
/// failure in a row is told, the others are not: requests that fail tell of themselves.
pub(super) async fn watch(watched: Watched, stop: CancellationToken) {
    let Watched { store, number, lane, metrics, readiness } = watched;
    let mut rounds = every(WATCH);
    let mut answers = true;
    while stop.run_until_cancelled(rounds.tick()).await.is_some() {
        let began = Instant::now();
        let Some(checked) = stop.run_until_cancelled(store.check()).await else { return };
        metrics.checked(lane, &checked, began.elapsed());
        if checked.is_ok() {
            readiness.answered(number);
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
