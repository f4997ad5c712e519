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
        let mut clients: Vec<Readable<ClientRecord>> = Vec::new();
        let (mut after, mut limit) = (None::<String>, PAGE);
        loop {
            let mut page = self.store.list_records(filter, after.as_deref(), limit).await?;
            if page.len() < limit as usize {
                clients.extend(page);
                return Ok(clients);
            }
            // The next page begins after a `client_id`, so cut this page after its last one that is
            // text; the rows behind it are read again. If a page has none, read a larger page.
            let named = page.iter().rposition(|client| name(client).is_some());
            let Some(last) = named else {
                limit = limit.saturating_mul(2);
                continue;
            };
            page.truncate(last + 1);
            after = page.last().and_then(name).map(str::to_owned);
            clients.extend(page);
            limit = PAGE;
        }
    }
}

/// The `client_id` of a row, if it is text.
fn name(record: &Readable<ClientRecord>) -> Option<&str> {
    match record {
        Ok(record) => Some(record.client.client_id.as_str()),
        Err(row) => row.client_id.as_deref(),
    }
}
