//! One look for all who want the same thing at the same time.

use std::{
    collections::HashMap,
    hash::Hash,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::sync::OnceCell;

use super::memory::Epoch;
use crate::domain::Error;

type Flight<V> = Arc<OnceCell<Result<V, Error>>>;

/// Looks that are under way. A look of an earlier epoch is not joined: who came after a change was
/// acknowledged must not be told what was read before it.
pub(super) struct Flights<K, V>(Mutex<HashMap<(K, Epoch), Flight<V>>>);

impl<K, V> Default for Flights<K, V> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<K: Clone + Eq + Hash, V: Clone> Flights<K, V> {
    /// What `look` finds, or what a look of this epoch finds that is under way. If the caller who
    /// looks goes away, another one takes over.
    pub(super) async fn join(
        &self,
        key: K,
        epoch: Epoch,
        look: impl Future<Output = Result<V, Error>>,
    ) -> Result<V, Error> {
        let key = (key, epoch);
        let flight = Arc::clone(self.lock().entry(key.clone()).or_default());
        let passenger = Passenger { flights: self, key, flight };
        match passenger.flight.get_or_init(|| look).await {
            Ok(found) => Ok(found.clone()),
            Err(error) => Err(error.again()),
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<(K, Epoch), Flight<V>>> {
        // Nothing under the lock panics, so it cannot be poisoned.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One who waits for a look.
struct Passenger<'a, K: Clone + Eq + Hash, V: Clone> {
    flights: &'a Flights<K, V>,
    key: (K, Epoch),
    flight: Flight<V>,
}

impl<K: Clone + Eq + Hash, V: Clone> Drop for Passenger<'_, K, V> {
    /// Who comes after the end looks anew, and a flight without passengers is none.
    fn drop(&mut self) {
        let mut flights = self.flights.lock();
        let is_this = flights.get(&self.key).is_some_and(|other| Arc::ptr_eq(other, &self.flight));
        if is_this && (self.flight.initialized() || Arc::strong_count(&self.flight) == 2) {
            flights.remove(&self.key);
        }
    }
}
