//! Use cases that concern all clients: revocation of all tokens, and rotation of the tag key.

use super::{Registry, RegistryError};
use crate::{
    domain::TagKey,
    store::{Adoption, TagKeyRotation},
};

impl Registry {
    /// Revokes all current tokens of all clients. They are selected by a counter and not by a time,
    /// so a token issued immediately before is not missed.
    pub async fn revoke_all_tokens(&self) -> Result<(), RegistryError> {
        Ok(self.store.revoke_all_tokens(&self.actor).await?)
    }

    /// Returns how far a rotation of the tag key is.
    pub async fn tag_key_rotation(&self) -> Result<TagKeyRotation, RegistryError> {
        Ok(self.store.tag_key_rotation(self.clock.now()).await?)
    }

    /// Makes a new tag key the current one. The previous one is accepted until it is retired. A
    /// rotation that was interrupted is completed.
    ///
    /// No text is refused meanwhile: every node accepts the new key before one makes a text with
    /// it.
    pub async fn rotate_tag_key(&self) -> Result<TagKeyRotation, RegistryError> {
        let key = TagKey::generate(self.random.as_ref())?;
        if !self.store.offer_tag_key(&key, &self.actor).await? {
            return Err(RegistryError::PreviousTagKey);
        }
        match self.store.adopt_tag_key(self.clock.now(), &self.actor).await? {
            Adoption::Adopted => self.tag_key_rotation().await,
            Adoption::EarlierNodes(count) => Err(RegistryError::EarlierNodes(count)),
            Adoption::NotOffered => Err(RegistryError::RotatedMeanwhile),
        }
    }

    /// Ends the previous tag key: every secret and token that was made with it is refused.
    pub async fn retire_tag_key(&self) -> Result<(), RegistryError> {
        let retired = self.store.retire_tag_key(&self.actor).await?;
        if retired { Ok(()) } else { Err(RegistryError::NoPreviousTagKey) }
    }
}
