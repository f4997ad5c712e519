//! What an operator has to know after an upgrade.

use super::{ClientFilter, RecordStore, migrate::Migrated};
use crate::domain::{Client, ClientId, Error};

/// Schema version since which a token is for one audience, unless several are requested. Before it,
/// one that was requested without an audience was for all audiences of the client.
const ONE_AUDIENCE: i64 = 13;

impl Migrated {
    /// Lists the clients whose requests for a token are refused from this migration on, unless they
    /// name an audience: those that have several and no default. Rows that cannot be read are left
    /// out. Empty if the database was new, or had been migrated that far before.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn clients_that_must_name_audience(
        self,
        store: &dyn RecordStore,
    ) -> Result<Vec<ClientId>, Error> {
        if self.from == 0 || self.from >= ONE_AUDIENCE {
            return Ok(Vec::new());
        }
        let records = store.list_records(&ClientFilter::default(), None, u32::MAX).await?;
        let clients = records.into_iter().flatten().map(|record| record.client);
        let concerned = clients.filter(Client::must_name_audience);
        Ok(concerned.map(|client| client.client_id).collect())
    }
}
