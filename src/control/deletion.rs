//! Methods that enable, disable and delete clients, and take a deletion back.

use super::{Caller, ClientRpc, Refusal, parse};
use crate::{
    domain::{ClientId, ClientState, Etag},
    pb::v1,
    registry::{Registry, RegistryError},
};

impl ClientRpc {
    pub(super) async fn enable(
        &self,
        caller: Caller,
        message: v1::EnableClientRequest,
    ) -> Result<v1::EnableClientResponse, Refusal> {
        let client_id = parse::client_id(&message.client_id)?;
        let etag = parse::etag("etag", &message.etag)?;
        let before = self.changeable(&caller, &client_id).await?;
        let registry = self.registry_for(&caller);
        set_state(&registry, &client_id, ClientState::Active, etag.as_ref()).await?;
        // The client may have got what the caller cannot give since it was read.
        let after = self.changeable(&caller, &client_id).await;
        let refused =
            matches!(after, Err(Refusal::GrantNotPermitted { .. } | Refusal::NotGrantable { .. }));
        if refused && before.state == ClientState::Disabled {
            registry.set_client_state(&client_id, ClientState::Disabled).await?;
        }
        after?;
        Ok(v1::EnableClientResponse { client: Some(self.shown(&message.client_id).await?) })
    }

    pub(super) async fn disable(
        &self,
        caller: Caller,
        message: v1::DisableClientRequest,
    ) -> Result<v1::DisableClientResponse, Refusal> {
        let client_id = parse::client_id(&message.client_id)?;
        let etag = parse::etag("etag", &message.etag)?;
        let registry = self.registry_for(&caller);
        set_state(&registry, &client_id, ClientState::Disabled, etag.as_ref()).await?;
        Ok(v1::DisableClientResponse { client: Some(self.shown(&message.client_id).await?) })
    }

    pub(super) async fn delete(
        &self,
        caller: Caller,
        message: v1::DeleteClientRequest,
    ) -> Result<v1::DeleteClientResponse, Refusal> {
        let client_id = parse::client_id(&message.client_id)?;
        let etag = parse::etag("etag", &message.etag)?;
        self.changeable(&caller, &client_id).await?;
        let registry = self.registry_for(&caller);
        match &etag {
            Some(etag) => registry.delete_unchanged(&client_id, etag).await?,
            None => registry.delete_client(&client_id).await?,
        }
        Ok(v1::DeleteClientResponse {})
    }

    pub(super) async fn undelete(
        &self,
        caller: Caller,
        message: v1::UndeleteClientRequest,
    ) -> Result<v1::UndeleteClientResponse, Refusal> {
        let client_id = parse::client_id(&message.client_id)?;
        let registry = self.registry_for(&caller);
        let deleted = registry.deleted_client(&client_id).await?;
        let audiences = deleted.audiences.union(&deleted.serves);
        self.giving(&caller).await?.check_all(&deleted.scopes, audiences)?;
        registry.undelete_client(&client_id, &deleted).await?;
        Ok(v1::UndeleteClientResponse { client: Some(self.shown(&message.client_id).await?) })
    }
}

/// Enables or disables a client; with an etag only one that still has that content.
async fn set_state(
    registry: &Registry,
    client_id: &ClientId,
    state: ClientState,
    etag: Option<&Etag>,
) -> Result<(), RegistryError> {
    match etag {
        Some(etag) => registry.set_state_of(client_id, state, etag).await,
        None => registry.set_client_state(client_id, state).await,
    }
}
