//! Whose a secret is, for an operator who has only its text. `tokens.rs` knows whose a token is.

use super::{Registry, RegistryError};
use crate::{
    domain::{ClientId, SecretId, TagKeys},
    store::OwnedSecret,
};

impl Registry {
    /// Returns the keys by which this installation knows the texts that it made.
    pub async fn tag_keys(&self) -> Result<TagKeys, RegistryError> {
        Ok(self.store.installation().await?.tag_keys)
    }

    /// Returns the secret of this id with its client. `None` if it was deleted.
    pub async fn owned_secret(&self, id: SecretId) -> Result<Option<OwnedSecret>, RegistryError> {
        Ok(self.store.owned_secret(id).await?)
    }

    /// Declares a secret of a deleted client leaked, so that it stays out of use when the client
    /// comes back. Returns the `client_id` that the client had; `None` if there is no such secret.
    pub async fn burn_deleted(&self, id: SecretId) -> Result<Option<ClientId>, RegistryError> {
        Ok(self.store.burn_kept_secret(id, self.clock.now(), &self.actor).await?)
    }

    /// Counts the tokens that were issued with a secret, have not expired and are not revoked.
    pub async fn count_tokens(&self, secret: SecretId) -> Result<u64, RegistryError> {
        Ok(self.store.count_tokens(secret, self.clock.now()).await?)
    }
}
