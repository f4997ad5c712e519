//! Hashing of new secrets.

use std::sync::Arc;

use tokio::task::spawn_blocking;

use super::{Registry, RegistryError};
use crate::domain::{Cause, ClientSecret, HashMemory, SecretHash};

impl Registry {
    /// Computes the hash of a new secret, on a thread for slow work and one at a time. A node that
    /// creates many clients therefore keeps its other cores, and the threads of its connections,
    /// for its callers. The turn is given back when the hash is done, even if the caller has gone
    /// away.
    pub(super) async fn hash(
        &self,
        secret: ClientSecret,
    ) -> Result<(ClientSecret, SecretHash), RegistryError> {
        let turn = Arc::clone(&self.hashing).acquire_owned().await;
        let turn = turn.map_err(|closed| RegistryError::Hash(closed.into()))?;
        let (cost, random) = (self.hash_cost, Arc::clone(&self.random));
        let hashing = spawn_blocking(move || {
            let mut memory = HashMemory::for_cost(cost);
            let hash = SecretHash::compute(&secret, cost, random.as_ref(), &mut memory);
            drop(turn);
            Ok::<_, Cause>((secret, hash?))
        });
        let hashed = hashing.await.unwrap_or_else(|panicked| Err(panicked.into()));
        hashed.map_err(RegistryError::Hash)
    }
}
