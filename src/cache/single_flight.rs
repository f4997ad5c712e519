//! One look for all who want the same thing at the same time.

use std::{
    collections::HashMap,
    hash::Hash,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::sync::OnceCell;

use super::leased::Epoch;
use crate::domain::Error;

type Lookup<V> = Arc<OnceCell<Result<V, Error>>>;

/// Looks that are under way. A look of an earlier epoch is not joined: who came after a change was
/// acknowledged must not be told what was read before it.
pub(super) struct SingleFlight<K, V>(Mutex<HashMap<(K, Epoch), Lookup<V>>>);

impl<K, V> Default for SingleFlight<K, V> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<K: Clone + Eq + Hash, V: Clone> SingleFlight<K, V> {
    /// What `look` finds, or what a look of this epoch finds that is under way. If the caller who
    /// looks goes away, another one takes over.
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

/// One who waits for a look.
struct Waiter<'a, K: Clone + Eq + Hash, V: Clone> {
    in_flight: &'a SingleFlight<K, V>,
    key: (K, Epoch),
    lookup: Lookup<V>,
}

impl<K: Clone + Eq + Hash, V: Clone> Drop for Waiter<'_, K, V> {
    /// Who comes after the end looks anew, and a lookup without passengers is none.
    fn drop(&mut self) {
        let mut in_flight = self.in_flight.lock();
        let is_this =
            in_flight.get(&self.key).is_some_and(|other| Arc::ptr_eq(other, &self.lookup));
        if is_this && (self.lookup.initialized() || Arc::strong_count(&self.lookup) == 2) {
            in_flight.remove(&self.key);
        }
    }
}
