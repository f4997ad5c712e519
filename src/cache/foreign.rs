//! Secrets of other systems, found by their client because their texts name none.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use super::{CachedStore, leased::Epoch, single_flight::SingleFlight};
use crate::{
    domain::{Actor, ClientId, Error, Lane, SecretHash, SecretId, Timestamp},
    store::FoundClient,
};

/// How long an answer counts if the change feed names no change.
const LIFETIME: Duration = Duration::from_mins(1);

/// Whether there is any such secret, as it was read last.
#[derive(Default)]
pub(super) struct Presence {
    last: Mutex<Option<(Epoch, Instant, bool)>>,
    asking: SingleFlight<(), bool>,
}

impl Presence {
    fn last(&self, epoch: Epoch) -> Option<bool> {
        let last = *self.last.lock().unwrap_or_else(PoisonError::into_inner);
        last.filter(|(of, read_at, _)| *of == epoch && read_at.elapsed() < LIFETIME)
            .map(|(.., is_there)| is_there)
    }

    fn keep(&self, epoch: Epoch, is_there: bool) {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        *last = Some((epoch, Instant::now(), is_there));
    }
}

impl CachedStore {
    /// Whether there is any secret of another system. It is read once per epoch, so that texts
    /// without a tag cost no query where there is none.
    pub(crate) async fn has_foreign_secrets(&self, lane: Lane) -> Result<bool, Error> {
        let store = self.stores.of(lane);
        let Some(epoch) = self.epoch().await? else { return store.has_foreign_secrets().await };
        if let Some(is_there) = self.foreign.last(epoch) {
            return Ok(is_there);
        }
        let lookup = async {
            let is_there = store.has_foreign_secrets().await?;
            self.foreign.keep(epoch, is_there);
            Ok(is_there)
        };
        Box::pin(self.foreign.asking.run((), epoch, lookup)).await
    }

    /// Reads a client with each of its live secrets of another system, bypassing the cache.
    pub(crate) async fn find_foreign(
        &self,
        lane: Lane,
        client_id: &ClientId,
        now: Timestamp,
    ) -> Result<Vec<FoundClient>, Error> {
        self.stores.of(lane).find_foreign(client_id, now).await
    }

    /// Replaces the hash of a secret of another system. False if it is another one by now.
    pub(crate) async fn replace_foreign_hash(
        &self,
        lane: Lane,
        secret: SecretId,
        from: &SecretHash,
        to: &SecretHash,
    ) -> Result<bool, Error> {
        let actor = Actor::node();
        self.stores.of(lane).replace_foreign_hash(secret, from, to, &actor).await
    }
}
