//! Deletion with undo, and changes of a client that must still be as its author saw it.

use super::{Registry, RegistryError, update::TRIES};
use crate::{
    domain::{ClientId, ClientState, Etag},
    store::DeletedClient,
};

impl Registry {
    /// Enables or disables a client that still has the content of this etag.
    pub async fn set_state_of(
        &self,
        client_id: &ClientId,
        state: ClientState,
        etag: &Etag,
    ) -> Result<(), RegistryError> {
        for _ in 0..TRIES {
            let read = self.version_of(client_id, etag).await?;
            if self.store.set_state_of(client_id, state, read, &self.actor).await? {
                return Ok(());
            }
        }
        Err(RegistryError::ChangedMeanwhile(client_id.clone()))
    }

    /// Deletes a client that still has the content of this etag.
    pub async fn delete_unchanged(
        &self,
        client_id: &ClientId,
        etag: &Etag,
    ) -> Result<(), RegistryError> {
        for _ in 0..TRIES {
            let read = self.version_of(client_id, etag).await?;
            if self.store.delete_version(client_id, read, &self.actor).await? {
                return Ok(());
            }
        }
        Err(RegistryError::ChangedMeanwhile(client_id.clone()))
    }

    /// The version of a client whose content is that of this etag.
    async fn version_of(&self, client_id: &ClientId, etag: &Etag) -> Result<i64, RegistryError> {
        let record = self.record(client_id).await?;
        if etag.matches(&record) {
            return Ok(record.client.version);
        }
        Err(RegistryError::EtagMismatch(client_id.clone(), etag.differing(&record)))
    }

    /// Finds the client that had this `client_id` and was deleted last, within 30 days.
    pub async fn deleted_client(
        &self,
        client_id: &ClientId,
    ) -> Result<DeletedClient, RegistryError> {
        let found = self.store.deleted_client(client_id).await?;
        found.ok_or_else(|| RegistryError::NotDeleted(client_id.clone()))
    }

    /// Takes the deletion of a client back, as it was read. The client is disabled, and secrets
    /// that are live are retired: which of them leaked meanwhile is for a person to know. Its
    /// tokens from before stay inactive.
    pub async fn undelete_client(
        &self,
        client_id: &ClientId,
        deleted: &DeletedClient,
    ) -> Result<(), RegistryError> {
        if self.store.undelete_client(deleted, self.clock.now(), &self.actor).await? {
            return Ok(());
        }
        let client_id = client_id.clone();
        match self.store.find_record(&client_id).await? {
            Some(other) if other.client.key != deleted.key => {
                Err(RegistryError::ClientIdTaken(client_id))
            }
            // Others took the deletion back, and may have deleted the client again.
            _ => Err(RegistryError::ChangedMeanwhile(client_id)),
        }
    }
}
