//! The quota of a client.

use super::{Registry, RegistryError, found_or_missing};
use crate::{
    domain::{ClientId, ClientQuota},
    store::ClientChange,
};

impl Registry {
    /// Sets all limits of a client. The defaults of the nodes apply in place of those that are
    /// `None`.
    pub async fn set_quota(
        &self,
        client_id: &ClientId,
        quota: ClientQuota,
    ) -> Result<(), RegistryError> {
        let change = ClientChange::Quota(quota);
        let found = self.store.change_client(client_id, change, &self.actor).await?;
        found_or_missing(client_id, found)
    }
}
