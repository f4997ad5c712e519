//! Methods that show clients and revoke their tokens.

use prost::Message;

use super::{Caller, ClientRpc, Refusal, parse, render};
use crate::{
    domain::{ClientRecord, page_token, position_in},
    pb::v1,
    registry::ClientPage,
    request::Method,
};

impl ClientRpc {
    pub(super) async fn get(
        &self,
        message: v1::GetClientRequest,
    ) -> Result<v1::GetClientResponse, Refusal> {
        Ok(v1::GetClientResponse { client: Some(self.shown(&message.client_id).await?) })
    }

    /// A client as it is now, with a summary of its secrets.
    pub(super) async fn shown(&self, client_id: &str) -> Result<v1::Client, Refusal> {
        let client_id = parse::client_id(client_id)?;
        self.with_secrets(&self.registry.record(&client_id).await?).await
    }

    /// A client, with a summary of its secrets as they are now.
    pub(super) async fn with_secrets(&self, record: &ClientRecord) -> Result<v1::Client, Refusal> {
        let secrets = self.store.list_secrets(&record.client.client_id).await?;
        Ok(render::client_with_secrets(record, &secrets, self.clock.now()))
    }

    pub(super) async fn list(
        &self,
        mut message: v1::ListClientsRequest,
    ) -> Result<v1::ListClientsResponse, Refusal> {
        let size = parse::page_size(message.page_size)?;
        let filter = parse::client_filter(message.filter.as_ref(), self.clock.now())?;
        let keys = self.store.installation().await?.tag_keys;
        let token = std::mem::take(&mut message.page_token);
        message.page_size = 0;
        let list = list_of(Method::ListClients, &message);
        let after = match &*token {
            "" => None,
            token => {
                Some(position_in(&keys, &list, token).map_err(Refusal::of_field("page_token"))?)
            }
        };
        let ClientPage { clients, next } =
            self.registry.clients_after(&filter, after.as_deref(), size).await?;
        let next = next.map(|after| page_token(&keys, &list, &after));
        let secrets =
            if message.with_secrets { Some(self.registry.live_secrets().await?) } else { None };
        let shown = |record: &ClientRecord| match &secrets {
            Some(of) => {
                let own = of.get(&record.client.key).copied().unwrap_or_default();
                render::client_with_summary(record, own)
            }
            None => render::client(record),
        };
        let unreadable = clients.iter().filter_map(|row| row.as_ref().err());
        Ok(v1::ListClientsResponse {
            unreadable: unreadable.map(render::unreadable).collect(),
            clients: clients.iter().flatten().map(shown).collect(),
            next_page_token: next.unwrap_or_default(),
        })
    }

    pub(super) async fn revoke_tokens(
        &self,
        caller: Caller,
        message: v1::RevokeClientTokensRequest,
    ) -> Result<v1::RevokeClientTokensResponse, Refusal> {
        let client_id = parse::client_id(&message.client_id)?;
        self.registry_for(&caller).revoke_tokens(&client_id).await?;
        Ok(v1::RevokeClientTokensResponse {})
    }
}

/// Identifies a list for its page tokens: the method, and everything in the request but its page.
pub(super) fn list_of(method: Method, request: &impl Message) -> Vec<u8> {
    [method.path().as_bytes(), &request.encode_to_vec()].concat()
}
