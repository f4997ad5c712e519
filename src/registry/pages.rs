//! Clients in pages.

use super::{Registry, RegistryError};
use crate::{
    domain::ClientRecord,
    store::{ClientFilter, Readable},
};

/// A page of clients in order of `client_id`.
#[derive(Debug)]
pub struct ClientPage {
    /// The clients, including rows that cannot be read.
    pub clients: Vec<Readable<ClientRecord>>,
    /// The `client_id` after which the next page begins; `None` on the last page.
    pub next: Option<String>,
}

impl Registry {
    /// Returns about `size` of the clients that match and come after `after`, the text of a column.
    /// There may be more if so many rows without a readable `client_id` follow each other that a
    /// page would not end.
    pub async fn clients_after(
        &self,
        filter: &ClientFilter,
        after: Option<&str>,
        size: u32,
    ) -> Result<ClientPage, RegistryError> {
        let mut limit = size.saturating_add(1);
        loop {
            let mut clients = self.store.list_records(filter, after, limit).await?;
            if clients.len() < limit as usize {
                return Ok(ClientPage { clients, next: None });
            }
            // The page after begins behind a name, so cut this one after its last row with a name.
            // The row beyond the page only shows that there is another one.
            clients.pop();
            if let Some(last) = clients.iter().rposition(|client| name(client).is_some()) {
                clients.truncate(last + 1);
                let next = clients.last().and_then(name).map(str::to_owned);
                return Ok(ClientPage { clients, next });
            }
            limit = limit.saturating_mul(2);
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
