//! Hashing of new secrets.

use std::sync::Arc;

use tokio::task::spawn_blocking;

use super::{Registry, RegistryError};
use crate::domain::{Cause, ClientSecret, ForeignSecret, HashCost, HashMemory, Random, SecretHash};

impl Registry {
    /// Computes the hash of a new secret.
    pub(super) async fn hash(
        &self,
        secret: ClientSecret,
    ) -> Result<(ClientSecret, SecretHash), RegistryError> {
        let hashing = move |cost, random: &dyn Random, memory: &mut HashMemory| {
            let hash = SecretHash::compute(&secret, cost, random, memory)?;
            Ok::<_, Cause>((secret, hash))
        };
        self.in_turn(hashing).await
    }

    /// Computes the hash of a secret that another system made.
    pub(super) async fn hash_foreign(
        &self,
        secret: ForeignSecret,
    ) -> Result<SecretHash, RegistryError> {
        let hashing = move |cost, random: &dyn Random, memory: &mut HashMemory| {
            SecretHash::compute_foreign(&secret, cost, random, memory)
        };
        self.in_turn(hashing).await
    }

    /// Computes a hash on a thread for slow work, one at a time. A node that creates many clients
    /// therefore keeps its other cores, and the threads of its connections, for its callers. The
    /// turn is given back when the hash is done, even if the caller has gone away.
    async fn in_turn<T: Send + 'static>(
        &self,
        compute: impl FnOnce(HashCost, &dyn Random, &mut HashMemory) -> Result<T, Cause>
        + Send
        + 'static,
    ) -> Result<T, RegistryError> {
        let turn = Arc::clone(&self.hashing).acquire_owned().await;
        let turn = turn.map_err(|closed| RegistryError::Hash(closed.into()))?;
        let (cost, random) = (self.hash_cost, Arc::clone(&self.random));
        let hashing = spawn_blocking(move || {
            let hashed = compute(cost, random.as_ref(), &mut HashMemory::for_cost(cost));
            drop(turn);
            hashed
        });
        let hashed = hashing.await.unwrap_or_else(|panicked| Err(panicked.into()));
        hashed.map_err(RegistryError::Hash)
    }
}
