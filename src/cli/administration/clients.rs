//! The use cases on clients in both ways: the registry on a database, or the calls of a node.

use super::{Created, CreatedClient, SecretOrder, node::Node};
use crate::{
    domain::{
        ClientId, ClientRecord, ClientState, Clock, Etag, QuotaChange, SecretId, SecretUse,
        StoredSecret, SystemClock, Timestamp,
    },
    registry::{ClientUpdate, EVIDENCE_PATIENCE, NewClient, Registry, Updated},
    store::{ClientFilter, LiveSecrets, Readable, Retirement, SecretChange},
};

/// A client, and the summary of its secrets.
pub(in crate::cli) type Listed = (Readable<ClientRecord>, LiveSecrets);

/// A client with all its secrets, including rows that cannot be read.
pub(in crate::cli) type Shown = (Readable<ClientRecord>, Vec<Readable<StoredSecret>>);

/// What an operator consents to when a secret is retired.
#[derive(Clone, Copy)]
pub(in crate::cli) struct Consent {
    /// It may have been used within the last day.
    pub(in crate::cli) even_if_in_use: bool,
    /// Its client may have no other live secret.
    pub(in crate::cli) even_if_last: bool,
}

impl Consent {
    /// For a secret that nobody knows.
    pub(in crate::cli) const ALL: Self = Self { even_if_in_use: true, even_if_last: true };
}

/// The clients of a database or of a node.
pub(in crate::cli) enum Clients<'a> {
    Database(Registry),
    Node(&'a Node),
}

impl Clients<'_> {
    /// Lists the clients that match in order of their client id.
    pub(in crate::cli) async fn list(&self, filter: &ClientFilter) -> anyhow::Result<Vec<Listed>> {
        let registry = match self {
            Self::Database(registry) => registry,
            Self::Node(node) => return node.list(filter, true).await,
        };
        let clients = registry.list_clients(filter).await?;
        let secrets = registry.live_secrets().await?;
        let with_secrets = clients.into_iter().map(|record| {
            let key = record.as_ref().ok().map(|record| record.client.key);
            let secrets = key.and_then(|key| secrets.get(&key)).copied().unwrap_or_default();
            (record, secrets)
        });
        Ok(with_secrets.collect())
    }

    /// Returns a client.
    pub(in crate::cli) async fn record(&self, client: &ClientId) -> anyhow::Result<ClientRecord> {
        match self {
            Self::Database(registry) => Ok(registry.record(client).await?),
            Self::Node(node) => node.record(client).await,
        }
    }

    /// Returns a client with all its secrets.
    pub(in crate::cli) async fn show(&self, client: &ClientId) -> anyhow::Result<Shown> {
        match self {
            Self::Database(registry) => Ok(registry.show_client(client).await?),
            Self::Node(node) => node.show(client).await,
        }
    }

    /// Creates a client with its first secret.
    pub(in crate::cli) async fn create(
        &self,
        new: NewClient,
        secret: SecretOrder,
    ) -> anyhow::Result<CreatedClient> {
        match self {
            Self::Database(registry) => {
                let secret = secret.at(SystemClock.now());
                let expires_at = secret.expires_at;
                let (client, secret) = registry.create_client(new, secret).await?;
                Ok(CreatedClient { client, first: Created { secret, expires_at } })
            }
            Self::Node(node) => node.create(new, secret).await,
        }
    }

    /// Changes some fields of a client that still has this etag, or only tells what would change.
    pub(in crate::cli) async fn update(
        &self,
        before: ClientRecord,
        update: &ClientUpdate,
        etag: &Etag,
        is_dry_run: bool,
    ) -> anyhow::Result<Updated> {
        let client_id = &before.client.client_id;
        match self {
            Self::Database(registry) if is_dry_run => {
                Ok(registry.preview_update(client_id, update, Some(etag)).await?)
            }
            Self::Database(registry) => {
                Ok(registry.update_client(client_id, update, Some(etag)).await?)
            }
            Self::Node(node) => {
                let after = node.update(client_id, update, Some(etag), is_dry_run).await?;
                Ok(Updated { before, after })
            }
        }
    }

    /// Changes the limits of a client. Returns it, if it can be read.
    pub(in crate::cli) async fn set_quota(
        &self,
        client: &ClientId,
        quota: QuotaChange,
    ) -> anyhow::Result<Readable<ClientRecord>> {
        match self {
            Self::Database(registry) => {
                registry.set_quota(client, quota).await?;
                Ok(registry.show_client(client).await?.0)
            }
            Self::Node(node) => {
                let update = ClientUpdate { quota, ..ClientUpdate::default() };
                Ok(Ok(node.update(client, &update, None, false).await?))
            }
        }
    }

    /// Enables or disables a client.
    pub(in crate::cli) async fn set_state(
        &self,
        client: &ClientId,
        state: ClientState,
    ) -> anyhow::Result<()> {
        match self {
            Self::Database(registry) => Ok(registry.set_client_state(client, state).await?),
            Self::Node(node) => node.set_state(client, state).await,
        }
    }

    /// Deletes a client with its secrets.
    pub(in crate::cli) async fn delete(&self, client: &ClientId) -> anyhow::Result<()> {
        match self {
            Self::Database(registry) => Ok(registry.delete_client(client).await?),
            Self::Node(node) => node.delete(client).await,
        }
    }

    /// Takes the deletion of a client back. Its secrets are retired.
    pub(in crate::cli) async fn undelete(&self, client: &ClientId) -> anyhow::Result<()> {
        match self {
            Self::Database(registry) => {
                let deleted = registry.deleted_client(client).await?;
                Ok(registry.undelete_client(client, &deleted).await?)
            }
            Self::Node(node) => node.undelete(client).await,
        }
    }

    /// Revokes all current tokens of a client, or of all clients.
    pub(in crate::cli) async fn revoke(&self, client: Option<&ClientId>) -> anyhow::Result<()> {
        match (self, client) {
            (Self::Database(registry), Some(client)) => Ok(registry.revoke_tokens(client).await?),
            (Self::Database(registry), None) => Ok(registry.revoke_all_tokens().await?),
            (Self::Node(node), client) => node.revoke(client).await,
        }
    }

    /// Adds a secret.
    pub(in crate::cli) async fn add_secret(
        &self,
        client: &ClientId,
        secret: SecretOrder,
    ) -> anyhow::Result<Created> {
        match self {
            Self::Database(registry) => {
                let secret = secret.at(SystemClock.now());
                let expires_at = secret.expires_at;
                let (_, secret) = registry.add_secret(client, secret).await?;
                Ok(Created { secret, expires_at })
            }
            Self::Node(node) => node.add_secret(client, secret).await,
        }
    }

    /// Returns the secrets of a client with their uses, as far as they can be read.
    pub(in crate::cli) async fn last_uses(
        &self,
        client: &ClientId,
    ) -> anyhow::Result<Vec<(StoredSecret, SecretUse)>> {
        match self {
            Self::Database(registry) => Ok(registry.last_uses(client).await?),
            Self::Node(node) => node.last_uses(client).await,
        }
    }

    /// Takes a secret out of use. One that is still used, or the last live one, stays unless it
    /// leaked or the operator consents.
    pub(in crate::cli) async fn retire_secret(
        &self,
        client: &ClientId,
        secret: SecretId,
        retirement: Retirement,
        consent: Consent,
    ) -> anyhow::Result<()> {
        let registry = match self {
            Self::Database(registry) => registry,
            Self::Node(node) => {
                return node.retire_secret(client, secret, retirement, consent).await;
            }
        };
        // A secret that leaked must end, however much it is used.
        if retirement != Retirement::Leaked && !consent.even_if_in_use {
            registry.check_unused(client, secret, EVIDENCE_PATIENCE).await?;
        }
        if consent.even_if_last {
            Ok(registry.retire_secret(client, secret, retirement).await?)
        } else {
            Ok(registry.retire_unless_last(client, secret, retirement).await?)
        }
    }

    /// Changes the label of a secret, or lets it expire earlier. Returns it as it is then.
    pub(in crate::cli) async fn update_secret(
        &self,
        client: &ClientId,
        secret: SecretId,
        change: &SecretChange,
    ) -> anyhow::Result<StoredSecret> {
        match self {
            Self::Database(registry) => Ok(registry.update_secret(client, secret, change).await?),
            Self::Node(node) => node.update_secret(client, secret, change).await,
        }
    }

    /// Takes the retirement of a secret back. Returns when the secret expires.
    pub(in crate::cli) async fn restore_secret(
        &self,
        client: &ClientId,
        secret: SecretId,
    ) -> anyhow::Result<Option<Timestamp>> {
        match self {
            Self::Database(registry) => {
                Ok(registry.restore_secret(client, secret).await?.expires_at)
            }
            Self::Node(node) => node.restore_secret(client, secret).await,
        }
    }
}
