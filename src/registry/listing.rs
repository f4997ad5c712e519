//! Clients as administrators see them: one with its secrets, or those that match a filter.

use super::{Registry, RegistryError};
use crate::{
    domain::{ClientId, ClientRecord, StoredSecret},
    store::{ClientFilter, Readable},
};

/// Clients per page of a listing.
const PAGE: u32 = 500;

impl Registry {
    /// Returns one client as administrators see it.
    pub async fn record(&self, client_id: &ClientId) -> Result<ClientRecord, RegistryError> {
        let found = self.store.find_record(client_id).await?;
        found.ok_or_else(|| RegistryError::NoSuchClient(client_id.clone()))
    }

    /// Returns one client with all its secrets, including rows that cannot be read.
    pub async fn show_client(
        &self,
        client_id: &ClientId,
    ) -> Result<(Readable<ClientRecord>, Vec<Readable<StoredSecret>>), RegistryError> {
        let client = match self.record(client_id).await {
            Ok(record) => Ok(record),
            Err(RegistryError::Unreadable(row)) => Err(row),
            Err(error) => return Err(error),
        };
        let secrets = self.store.list_secrets(client_id).await?;
        Ok((client, secrets))
    }

    /// Returns the clients that match in order of `client_id`, including rows that cannot be read.
    pub async fn list_clients(
        &self,
        filter: &ClientFilter,
    ) -> Result<Vec<Readable<ClientRecord>>, RegistryError> {
        let (mut clients, mut after) = (Vec::new(), None);
        loop {
            let page = self.clients_after(filter, after.as_deref(), PAGE).await?;
            clients.extend(page.clients);
            after = page.next;
            if after.is_none() {
                return Ok(clients);
            }
        }
    }
}
