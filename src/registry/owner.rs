//! Whose a secret or a token is, for an operator who has only its text.

use super::{Registry, RegistryError};
use crate::{
    domain::{SecretId, TagKeys, TokenFacts, TokenId},
    store::{OwnedSecret, Readable, UnreadableRow},
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

    /// Returns the facts about the token of this id. `None` if it was removed after its end, or its
    /// client was deleted.
    pub async fn owned_token(
        &self,
        id: TokenId,
    ) -> Result<Option<Readable<TokenFacts>>, RegistryError> {
        let Some(found) = self.store.owned_token(id).await? else { return Ok(None) };
        let readable = found.map(|found| found.facts).map_err(UnreadableRow::behind);
        match readable {
            Ok(facts) => Ok(Some(Ok(facts))),
            Err(Ok(row)) => Ok(Some(Err(row))),
            Err(Err(error)) => Err(error.into()),
        }
    }

    /// Counts the tokens that were issued with a secret, have not expired and are not revoked.
    pub async fn count_tokens(&self, secret: SecretId) -> Result<u64, RegistryError> {
        Ok(self.store.count_tokens(secret, self.clock.now()).await?)
    }
}
