//! Single flight: identical concurrent look-ups share one query.

use std::{
    collections::HashMap,
    hash::Hash,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::sync::OnceCell;

use super::leased::Epoch;
use crate::domain::Error;

type Lookup<V> = Arc<OnceCell<Result<V, Error>>>;

/// Look-ups in flight. A look-up of an earlier epoch is not joined: a caller that arrives after a
/// change was acknowledged must not receive data that was read before it.
pub(super) struct SingleFlight<K, V>(Mutex<HashMap<(K, Epoch), Lookup<V>>>);

impl<K, V> Default for SingleFlight<K, V> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<K: Clone + Eq + Hash, V: Clone> SingleFlight<K, V> {
    /// Returns the result of `look`, or of a look-up for this key and epoch that is in flight. If
    /// the caller that runs the query goes away, another waiting caller takes over.
    pub(super) async fn run(
        &self,
        key: K,
        epoch: Epoch,
        look: impl Future<Output = Result<V, Error>>,
    ) -> Result<V, Error> {
        let key = (key, epoch);
        let lookup = Arc::clone(self.lock().entry(key.clone()).or_default());
        let waiter = Waiter { in_flight: self, key, lookup };
        match waiter.lookup.get_or_init(|| look).await {
            Ok(found) => Ok(found.clone()),
            Err(error) => Err(error.clone()),
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<(K, Epoch), Lookup<V>>> {
        // Nothing under the lock panics, so it cannot be poisoned.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A caller that waits for a look-up.
struct Waiter<'a, K: Clone + Eq + Hash, V: Clone> {
    in_flight: &'a SingleFlight<K, V>,
    key: (K, Epoch),
    lookup: Lookup<V>,
}

impl<K: Clone + Eq + Hash, V: Clone> Drop for Waiter<'_, K, V> {
    /// Removes the look-up if it has finished or if this was its last waiter. Later callers start
    /// a new one.
    fn drop(&mut self) {
        let mut in_flight = self.in_flight.lock();
        let is_this =
            in_flight.get(&self.key).is_some_and(|other| Arc::ptr_eq(other, &self.lookup));
        if is_this && (self.lookup.initialized() || Arc::strong_count(&self.lookup) == 2) {
            in_flight.remove(&self.key);
        }
    }
}
