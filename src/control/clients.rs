//! Methods on clients.

use prost::Message;

use super::{Caller, ClientRpc, Refusal, parse, render};
use crate::{
    domain::{ClientRecord, ClientState, Permissions, page_token, position_in},
    pb::v1,
    registry::ClientPage,
    request::Method,
};

/// Maximum number of clients in a batch. Each client takes its turn, so a larger batch would end at
/// its deadline.
const MAX_BATCH: usize = 200;

impl ClientRpc {
    pub(super) async fn create_one(
        &self,
        caller: Caller,
        message: v1::CreateClientRequest,
    ) -> Result<v1::CreateClientResponse, Refusal> {
        self.create(&caller, message).await
    }

    async fn create(
        &self,
        caller: &Caller,
        message: v1::CreateClientRequest,
    ) -> Result<v1::CreateClientResponse, Refusal> {
        let now = self.clock.now();
        let client = parse::new_client(message.client)?;
        let secret = parse::new_secret(message.secret, self.secret_lifetime, now)?;
        caller.check_grant(Permissions::of(&client.scopes))?;
        let expires_at = secret.expires_at;
        let label = secret.label.clone();
        let about = client.about.clone();
        let registry = self.registry_for(caller);
        let (client, text) = registry.create_client(client, secret).await?;
        let record = ClientRecord { client, about };
        Ok(v1::CreateClientResponse {
            secret: Some(v1::Secret {
                id: text.id().0.to_string(),
                label,
                state: v1::SecretState::Live.into(),
                create_time: Some(render::moment(record.client.created_at)),
                expire_time: expires_at.map(render::moment),
                ..v1::Secret::default()
            }),
            client: Some(v1::Client {
                live_secrets: 1,
                next_secret_expire_time: expires_at.map(render::moment),
                ..render::client(&record)
            }),
            client_secret: text.expose().to_owned(),
        })
    }

    pub(super) async fn create_batch(
        &self,
        caller: Caller,
        message: v1::BatchCreateClientsRequest,
    ) -> Result<v1::BatchCreateClientsResponse, Refusal> {
        if !(1..=MAX_BATCH).contains(&message.requests.len()) {
            return Err(Refusal::invalid("requests", "a batch creates 1 to 200 clients"));
        }
        let mut results = Vec::with_capacity(message.requests.len());
        for request in message.requests {
            let outcome = match self.create(&caller, request).await {
                Ok(created) => v1::batch_result::Outcome::Created(Box::new(created)),
                Err(refusal) => v1::batch_result::Outcome::Failure(refusal.into_failure()),
            };
            results.push(v1::BatchResult { outcome: Some(outcome) });
        }
        Ok(v1::BatchCreateClientsResponse { results })
    }

    pub(super) async fn get(
        &self,
        message: v1::GetClientRequest,
    ) -> Result<v1::GetClientResponse, Refusal> {
        Ok(v1::GetClientResponse { client: Some(self.shown(&message.client_id).await?) })
    }

    /// A client as it is now, with a summary of its secrets.
    async fn shown(&self, client_id: &str) -> Result<v1::Client, Refusal> {
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
        let unreadable = clients.iter().filter_map(|row| row.as_ref().err());
        Ok(v1::ListClientsResponse {
            unreadable: unreadable.map(render::unreadable).collect(),
            clients: clients.iter().flatten().map(render::client).collect(),
            next_page_token: next.unwrap_or_default(),
        })
    }

    pub(super) async fn enable(
        &self,
        caller: Caller,
        message: v1::EnableClientRequest,
    ) -> Result<v1::EnableClientResponse, Refusal> {
        let client_id = parse::client_id(&message.client_id)?;
        let before = self.changeable(&caller, &client_id).await?;
        let registry = self.registry_for(&caller);
        registry.set_client_state(&client_id, ClientState::Active).await?;
        // The client may have become an administrator since it was read.
        let after = self.changeable(&caller, &client_id).await;
        if let (Err(Refusal::GrantNotPermitted { .. }), ClientState::Disabled) =
            (&after, before.state)
        {
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
        let registry = self.registry_for(&caller);
        registry.set_client_state(&client_id, ClientState::Disabled).await?;
        Ok(v1::DisableClientResponse { client: Some(self.shown(&message.client_id).await?) })
    }

    pub(super) async fn delete(
        &self,
        caller: Caller,
        message: v1::DeleteClientRequest,
    ) -> Result<v1::DeleteClientResponse, Refusal> {
        let client_id = parse::client_id(&message.client_id)?;
        self.changeable(&caller, &client_id).await?;
        self.registry_for(&caller).delete_client(&client_id).await?;
        Ok(v1::DeleteClientResponse {})
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
