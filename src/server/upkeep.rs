//! What a node does for its stores beside requests, until it stops.

use std::{sync::Arc, time::Duration};

use tokio::time::{Interval, MissedTickBehavior};
use tokio_util::sync::CancellationToken;

use crate::{
    domain::{Clock, chain},
    store::Store,
};

/// How often a store is looked after: far more often than partitions are needed.
const UPKEEP: Duration = Duration::from_mins(10);

/// Looks after the store until the node stops. A failure is tried again in the next round: there is
/// room for a day.
pub(super) async fn upkeep(store: Arc<dyn Store>, clock: Arc<dyn Clock>, stop: CancellationToken) {
    let mut rounds = every(UPKEEP);
    while stop.run_until_cancelled(rounds.tick()).await.is_some() {
        match store.upkeep(clock.now()).await {
            Ok(done) => tracing::debug!(?done, "looked after the store"),
            Err(error) => {
                tracing::warn!(cause = chain(&error), "the store could not be looked after");
            }
        }
    }
}

/// A round that took long is not made up for.
fn every(period: Duration) -> Interval {
    let mut rounds = tokio::time::interval(period);
    rounds.set_missed_tick_behavior(MissedTickBehavior::Delay);
    rounds
}
