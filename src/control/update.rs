//! Changes of some fields of a client.

use super::{Caller, ClientRpc, Refusal, parse};
use crate::{
    domain::{ClientId, Etag},
    pb::v1,
    registry::{RegistryError, Updated},
};

/// How often an update without an etag is tried while others change the same client.
const TRIES: u32 = 10;

impl ClientRpc {
    pub(super) async fn update(
        &self,
        caller: Caller,
        message: v1::UpdateClientRequest,
    ) -> Result<v1::UpdateClientResponse, Refusal> {
        let missing = || Refusal::invalid("client", "send the client with its new values");
        let client = message.client.ok_or_else(missing)?;
        let client_id = ClientId::parse(&client.client_id);
        let client_id = client_id.map_err(Refusal::of_field("client.client_id"))?;
        let etag = parse::etag("client.etag", &client.etag)?;
        let update = parse::client_update(&client, message.update_mask)?;
        let registry = self.registry_for(&caller);
        let giving = self.giving(&caller).await?;
        for _ in 0..TRIES {
            let seen = registry.preview_update(&client_id, &update, etag.as_ref()).await?;
            // A caller who changes what a client may do could do that himself soon.
            giving.check(&seen.before.client)?;
            giving.check(&seen.after.client)?;
            if message.validate_only {
                return self.updated(&seen).await;
            }
            // What was checked is what is changed.
            let checked = Etag::of(&seen.before);
            match registry.update_client(&client_id, &update, Some(&checked)).await {
                Err(RegistryError::EtagMismatch(..)) if etag.is_none() => {}
                updated => return self.updated(&updated?).await,
            }
        }
        Err(RegistryError::ChangedMeanwhile(client_id).into())
    }

    async fn updated(&self, updated: &Updated) -> Result<v1::UpdateClientResponse, Refusal> {
        let client = self.with_secrets(&updated.after).await?;
        let changed = updated.changes().into_iter().map(|change| change.field.to_owned());
        Ok(v1::UpdateClientResponse { client: Some(client), changed_fields: changed.collect() })
    }
}
