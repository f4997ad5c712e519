//! Changes of a secret that goes on to work: its label, and an earlier expiry.

use super::{Registry, RegistryError};
use crate::{
    domain::{ClientId, SecretId, SecretState, StoredSecret},
    store::SecretChange,
};

impl Registry {
    /// Changes a secret. Its label can be changed always; its expiry only while it works, and only
    /// to an earlier time. Returns it once no node acts on the earlier state.
    pub async fn update_secret(
        &self,
        client_id: &ClientId,
        id: SecretId,
        change: &SecretChange,
    ) -> Result<StoredSecret, RegistryError> {
        let now = self.clock.now();
        let found = self.secret(client_id, id).await?;
        if let Some(asked) = change.expires_at {
            let state = found.state(now);
            if !matches!(state, SecretState::Live | SecretState::Retiring) {
                return Err(RegistryError::SecretEnded(client_id.clone(), id.0, state));
            }
            if let Some(end) = found.own_expiry().filter(|end| asked > *end) {
                return Err(RegistryError::LaterExpiry(client_id.clone(), id.0, end));
            }
        }
        if self.store.update_secret(client_id, id, change, now, &self.actor).await? {
            return self.secret(client_id, id).await;
        }
        // It has ended since it was read.
        let state = self.secret(client_id, id).await?.state(now);
        Err(RegistryError::SecretEnded(client_id.clone(), id.0, state))
    }
}
