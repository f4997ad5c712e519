//! Whose a secret is, for an operator who has only its text. `tokens.rs` knows whose a token is.

use super::{Registry, RegistryError};
use crate::{
    domain::{ClientId, SecretId, TagKeys},
    store::{OwnedSecret, Retirement},
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
        let kept = self.store.burn_kept_secret(id, self.clock.now(), &self.actor).await?;
        if kept.is_some() {
            return Ok(kept);
        }
        // The client may have come back since somebody looked.
        let Some(owned) = self.owned_secret(id).await? else { return Ok(None) };
        let client_id = owned.client.map_err(RegistryError::Unreadable)?.client_id;
        self.retire_secret(&client_id, id, Retirement::Leaked).await?;
        Ok(Some(client_id))
    }

    /// Counts the tokens that were issued with a secret, have not expired and are not revoked.
    pub async fn count_tokens(&self, secret: SecretId) -> Result<u64, RegistryError> {
        Ok(self.store.count_tokens(secret, self.clock.now()).await?)
    }
}
