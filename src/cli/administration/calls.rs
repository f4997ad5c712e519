//! The use cases on clients as calls of a node.

use tonic::{Response, Status};

use super::{
    Created, CreatedClient, SecretOrder,
    clients::{Consent, Listed, Shown},
    message::{self, duration},
    node::{Calls, Failed, Node},
    order::whole_seconds,
    reading::{self, understood},
};
use crate::{
    domain::{
        ClientId, ClientRecord, ClientState, Clock, Etag, SecretId, SecretUse, StoredSecret,
        SystemClock, Timestamp,
    },
    pb::v1::{self, ErrorReason},
    registry::{ClientUpdate, NewClient, RegistryError},
    store::{ClientFilter, LiveSecrets, Readable, Retirement, SecretChange},
};

/// Rows per page of a list. A node takes up to 500.
pub(super) const PAGE: i32 = 200;

impl Node {
    /// Calls a method. A refusal is an error with its exit status.
    pub(super) async fn ask<A>(
        &self,
        method: impl AsyncFnOnce(Calls) -> Result<Response<A>, Status>,
    ) -> anyhow::Result<A> {
        self.call(method).await.map_err(|failed| failed.error)
    }

    pub(super) async fn list(
        &self,
        filter: &ClientFilter,
        with_secrets: bool,
    ) -> anyhow::Result<Vec<Listed>> {
        let mut clients: Vec<Listed> = Vec::new();
        let mut message = v1::ListClientsRequest {
            page_size: PAGE,
            page_token: String::new(),
            filter: Some(message::filter(filter)),
            with_secrets,
        };
        loop {
            let asked = message.clone();
            let page = self.ask(async |mut calls: Calls| calls.list_clients(asked).await).await?;
            for client in &page.clients {
                let secrets = understood("secrets of a client", reading::live_secrets(client))?;
                clients.push((Ok(reading::client(Some(client))?), secrets));
            }
            for row in &page.unreadable {
                clients.push((Err(reading::unreadable(row, "client")), LiveSecrets::default()));
            }
            message.page_token = page.next_page_token;
            if message.page_token.is_empty() {
                break;
            }
        }
        // Rows that cannot be read come after those of their page.
        if clients.iter().any(|(row, _)| row.is_err()) {
            clients.sort_by(|(one, _), (other, _)| name(one).cmp(&name(other)));
        }
        Ok(clients)
    }

    pub(super) async fn record(&self, client: &ClientId) -> anyhow::Result<ClientRecord> {
        let message = v1::GetClientRequest { client_id: client.to_string() };
        let shown = self.ask(async |mut calls: Calls| calls.get_client(message).await).await?;
        reading::client(shown.client.as_ref())
    }

    pub(super) async fn show(&self, client: &ClientId) -> anyhow::Result<Shown> {
        let record = self.record(client).await?;
        let listed = self.secrets(client).await?;
        let mut secrets: Vec<Readable<StoredSecret>> = Vec::new();
        for secret in &listed.secrets {
            let secret = reading::secret(secret, record.client.key);
            secrets.push(Ok(understood("secret", secret)?));
        }
        for row in &listed.unreadable {
            secrets.push(Err(reading::unreadable(row, "client_secret")));
        }
        Ok((Ok(record), secrets))
    }

    /// The secrets of a client, without waiting for uses to be written down.
    async fn secrets(&self, client: &ClientId) -> anyhow::Result<v1::ListSecretsResponse> {
        let message = v1::ListSecretsRequest {
            client_id: client.to_string(),
            at_once: true,
            ..v1::ListSecretsRequest::default()
        };
        self.ask(async |mut calls: Calls| calls.list_secrets(message).await).await
    }

    pub(super) async fn last_uses(
        &self,
        client: &ClientId,
    ) -> anyhow::Result<Vec<(StoredSecret, SecretUse)>> {
        let key = self.record(client).await?.client.key;
        let listed = self.secrets(client).await?;
        let secrets = listed.secrets.iter().filter_map(|secret| {
            let unused = Some(SecretUse::default());
            let uses = secret.r#use.as_ref().map_or(unused, reading::uses);
            Some((reading::secret(secret, key)?, uses?))
        });
        Ok(secrets.collect())
    }

    pub(super) async fn create(
        &self,
        new: NewClient,
        secret: SecretOrder,
    ) -> anyhow::Result<CreatedClient> {
        let (client, secret) = (Some(message::new_client(new)), Some(secret.message()));
        let message = v1::CreateClientRequest { client, secret, ..Default::default() };
        let created = self.ask(async |mut calls: Calls| calls.create_client(message).await).await?;
        reading::created_client(&created)
    }

    pub(super) async fn update(
        &self,
        client_id: &ClientId,
        update: &ClientUpdate,
        etag: Option<&Etag>,
        validate_only: bool,
    ) -> anyhow::Result<ClientRecord> {
        let (client, mask) = message::update(client_id, update, etag);
        let (client, update_mask) = (Some(client), Some(mask));
        let message = v1::UpdateClientRequest { client, update_mask, validate_only };
        let updated = self.call(async |mut calls: Calls| calls.update_client(message).await).await;
        let updated = updated.map_err(|failed| stale(client_id, failed))?;
        reading::client(updated.client.as_ref())
    }

    pub(super) async fn set_state(
        &self,
        client: &ClientId,
        state: ClientState,
    ) -> anyhow::Result<()> {
        let client_id = client.to_string();
        match state {
            ClientState::Active => {
                let message = v1::EnableClientRequest { client_id, ..Default::default() };
                self.ask(async |mut calls: Calls| calls.enable_client(message).await).await?;
            }
            ClientState::Disabled => {
                let message = v1::DisableClientRequest { client_id, ..Default::default() };
                self.ask(async |mut calls: Calls| calls.disable_client(message).await).await?;
            }
        }
        Ok(())
    }

    pub(super) async fn delete(&self, client: &ClientId) -> anyhow::Result<()> {
        let client_id = client.to_string();
        let message = v1::DeleteClientRequest { client_id, ..Default::default() };
        self.ask(async |mut calls: Calls| calls.delete_client(message).await).await?;
        Ok(())
    }

    pub(super) async fn undelete(&self, client: &ClientId) -> anyhow::Result<()> {
        let message = v1::UndeleteClientRequest { client_id: client.to_string() };
        self.ask(async |mut calls: Calls| calls.undelete_client(message).await).await?;
        Ok(())
    }

    pub(super) async fn revoke(&self, client: Option<&ClientId>) -> anyhow::Result<()> {
        if let Some(client) = client {
            let message = v1::RevokeClientTokensRequest { client_id: client.to_string() };
            self.ask(async |mut calls: Calls| calls.revoke_client_tokens(message).await).await?;
        } else {
            let message = v1::RaiseNotBeforeRequest {};
            self.ask(async |mut calls: Calls| calls.raise_not_before(message).await).await?;
        }
        Ok(())
    }

    pub(super) async fn add_secret(
        &self,
        client: &ClientId,
        secret: SecretOrder,
    ) -> anyhow::Result<Created> {
        let (client_id, secret) = (client.to_string(), Some(secret.message()));
        let message = v1::AddSecretRequest { client_id, secret, ..Default::default() };
        let added = self.ask(async |mut calls: Calls| calls.add_secret(message).await).await?;
        reading::created(added.secret.as_ref(), &added.client_secret)
    }

    pub(super) async fn retire_secret(
        &self,
        client: &ClientId,
        secret: SecretId,
        retirement: Retirement,
        consent: Consent,
    ) -> anyhow::Result<()> {
        let (client_id, secret_id) = (client.to_string(), secret.0.to_string());
        let after = match retirement {
            Retirement::Leaked => {
                let message = v1::BurnSecretRequest { secret_id, client_id, ..Default::default() };
                self.ask(async |mut calls: Calls| calls.burn_secret(message).await).await?;
                return Ok(());
            }
            Retirement::Retired => None,
            Retirement::At(moment) => Some(whole_seconds(moment.since(SystemClock.now()))),
        };
        let message = v1::RetireSecretRequest {
            secret_id,
            client_id,
            after: after.map(duration),
            even_if_in_use: consent.even_if_in_use,
            even_if_last: consent.even_if_last,
        };
        self.ask(async |mut calls: Calls| calls.retire_secret(message).await).await?;
        Ok(())
    }

    pub(super) async fn update_secret(
        &self,
        client: &ClientId,
        secret: SecretId,
        change: &SecretChange,
    ) -> anyhow::Result<StoredSecret> {
        let key = self.record(client).await?.client.key;
        let (secret, mask) = message::secret_update(secret, change);
        let message = v1::UpdateSecretRequest {
            client_id: client.to_string(),
            secret: Some(secret),
            update_mask: Some(mask),
        };
        let updated = self.ask(async |mut calls: Calls| calls.update_secret(message).await).await?;
        understood("secret", updated.secret.as_ref().and_then(|it| reading::secret(it, key)))
    }

    pub(super) async fn restore_secret(
        &self,
        client: &ClientId,
        secret: SecretId,
    ) -> anyhow::Result<Option<Timestamp>> {
        let (client_id, secret_id) = (client.to_string(), secret.0.to_string());
        let message = v1::RestoreSecretRequest { secret_id, client_id };
        let restored =
            self.ask(async |mut calls: Calls| calls.restore_secret(message).await).await?;
        reading::expiry(restored.secret.as_ref())
    }
}

/// The client id of a row, by which lists are ordered.
fn name(row: &Readable<ClientRecord>) -> Option<&str> {
    match row {
        Ok(record) => Some(record.client.client_id.as_str()),
        Err(row) => row.client_id.as_deref(),
    }
}

/// The error of an update. A wrong etag is the error that the registry has for it, by which the
/// command knows that it can try again.
pub(super) fn stale(client_id: &ClientId, failed: Failed) -> anyhow::Error {
    if failed.reason != Some(ErrorReason::EtagMismatch) {
        return failed.error;
    }
    let names: Vec<_> = failed.changed.split(' ').collect();
    let fields = ClientRecord::FIELDS.into_iter().filter(|field| names.contains(field));
    RegistryError::EtagMismatch(client_id.clone(), fields.collect()).into()
}
