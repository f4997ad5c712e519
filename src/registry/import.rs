//! Clients that come from other systems, with the secrets that those made.

use uuid::Uuid;

use super::{Registry, RegistryError, update};
use crate::{
    domain::{
        ClientKey, ClientRecord, ForeignSecret, SecretHash, SecretId, StoredSecret, Timestamp,
        parse_label, uuid_v4,
    },
    store::{Creation, ForeignClient},
};

/// Maximum number of clients in one import. They are one transaction, for which revocations wait.
pub const MAX_IMPORTED_CLIENTS: usize = 50;

/// Maximum number of secrets of an imported client. A text of it is compared with each of them.
pub const MAX_IMPORTED_SECRETS: usize = 3;

/// A client to be imported.
#[derive(Debug)]
pub struct ImportedClient {
    /// What it is to be. Its id and the time of its creation mean nothing.
    pub record: ClientRecord,
    /// Its secrets, the current one first.
    pub secrets: Vec<ImportedSecret>,
}

/// A secret to be imported.
#[derive(Debug)]
pub struct ImportedSecret {
    /// Label for operators, as [`parse_label`] accepts it.
    pub label: String,
    /// What the text of the secret is compared with.
    pub proof: ImportedProof,
    /// Expiry, from which on the secret is refused; `None` if it does not expire.
    pub expires_at: Option<Timestamp>,
}

/// What is known of a secret that is imported.
#[derive(Debug)]
pub enum ImportedProof {
    /// Its hash.
    Hash(SecretHash),
    /// Its text, of which a hash is made.
    Text(ForeignSecret),
}

impl Registry {
    /// Imports clients in one transaction: those whose `client_id` is not taken, each with all its
    /// secrets. Returns what became of each, in their order.
    pub async fn import_clients(
        &self,
        clients: Vec<ImportedClient>,
    ) -> Result<Vec<Creation>, RegistryError> {
        let mut made = Vec::with_capacity(clients.len());
        for client in clients {
            made.push(self.foreign_client(client).await?);
        }
        Ok(self.store.import_clients(&made, &self.actor).await?)
    }

    /// What would become of such clients now. Imports none.
    pub async fn preview_import(
        &self,
        clients: &[ImportedClient],
    ) -> Result<Vec<Creation>, RegistryError> {
        let mut outcomes = Vec::with_capacity(clients.len());
        for client in clients {
            let taken = self.store.find_record(&client.record.client.client_id).await?;
            outcomes.push(taken.map_or(Creation::Created, |_| Creation::ClientIdTaken));
        }
        Ok(outcomes)
    }

    async fn foreign_client(
        &self,
        ImportedClient { mut record, secrets }: ImportedClient,
    ) -> Result<ForeignClient, RegistryError> {
        update::check(&record)?;
        let (key, now) = (ClientKey(self.uuid()?), self.clock.now());
        (record.client.key, record.client.created_at) = (key, now);
        let mut stored = Vec::with_capacity(secrets.len());
        for secret in secrets {
            let hash = match secret.proof {
                ImportedProof::Hash(hash) => hash,
                ImportedProof::Text(text) => self.hash_foreign(text).await?,
            };
            stored.push(StoredSecret {
                id: SecretId(self.uuid()?),
                client: key,
                hash,
                label: parse_label(&secret.label)?,
                created_at: now,
                expires_at: secret.expires_at,
                retired_at: None,
                leaked_at: None,
                retiring: None,
                forgotten_at: None,
            });
        }
        Ok(ForeignClient { record, secrets: stored })
    }

    fn uuid(&self) -> Result<Uuid, RegistryError> {
        Ok(uuid_v4(self.random.as_ref())?)
    }
}
