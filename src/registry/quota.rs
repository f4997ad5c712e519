//! The quota of a client.

use super::{Registry, RegistryError, found_or_missing};
use crate::{
    domain::{ClientId, QuotaChange},
    store::ClientChange,
};

impl Registry {
    /// Changes the limits of a client, or sets all of them. The defaults of the nodes apply in
    /// place of those that are `None`.
    pub async fn set_quota(
        &self,
        client_id: &ClientId,
        quota: impl Into<QuotaChange>,
    ) -> Result<(), RegistryError> {
        let change = ClientChange::Quota(quota.into());
        let found = self.store.change_client(client_id, change, &self.actor).await?;
        found_or_missing(client_id, found)
    }
}
