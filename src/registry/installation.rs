//! Use cases that concern all clients: revocation of all tokens, and rotation of the tag key.

use super::{Registry, RegistryError};
use crate::{
    domain::{ClientId, TagKey},
    store::{Adoption, TagKeyRotation},
};

/// Maximum secrets that are retired together.
const SLICE: u32 = 200;

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

    /// Returns the clients with live secrets that were made before the current tag key was used,
    /// and how many each has.
    pub async fn earlier_secrets(&self) -> Result<Vec<(ClientId, u64)>, RegistryError> {
        Ok(self.store.earlier_secrets(self.clock.now()).await?)
    }

    /// Ends the previous tag key: every secret and token that was made with it is refused. The
    /// secrets are retired first, so that none is shown as live that no longer works. This is done
    /// in slices, between which other changes take their turn.
    pub async fn retire_tag_key(&self) -> Result<(), RegistryError> {
        let mut retired = u64::from(SLICE);
        while retired == u64::from(SLICE) {
            let now = self.clock.now();
            retired = self.store.retire_earlier_secrets(now, SLICE, &self.actor).await?;
        }
        let retired = self.store.retire_tag_key(&self.actor).await?;
        if retired { Ok(()) } else { Err(RegistryError::NoPreviousTagKey) }
    }
}
