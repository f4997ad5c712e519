//! Administrators: who may grant access, and recovery of that access.

use super::{Registry, RegistryError, found_or_missing};
use crate::{
    domain::{ClientId, ClientRecord},
    store::ClientFilter,
};

impl Registry {
    /// Returns the enabled clients that may grant permissions, those that are limited in what they
    /// give left out. A row that cannot be read is none: its client cannot authenticate.
    pub async fn administrators(&self) -> Result<Vec<ClientId>, RegistryError> {
        let records = self.list_clients(&ClientFilter::default()).await?;
        let able = records.into_iter().flatten().filter(ClientRecord::may_grant_access);
        Ok(able.map(|record| record.client.client_id).collect())
    }

    /// Records in the audit trail that this client was made an administrator although there was
    /// one.
    pub async fn record_recovery(&self, client_id: &ClientId) -> Result<(), RegistryError> {
        let is_there = self.store.record_recovery(client_id, &self.actor).await?;
        found_or_missing(client_id, is_there)
    }
}
