//! Client use cases: create, disable and delete clients, and add secrets. `rotation.rs` has those
//! that end secrets, `listing.rs` shows and finds clients, `update.rs` changes them, `audit.rs`
//! finds what was changed, `import.rs` takes over clients of other systems, and `installation.rs`
//! has what concerns all clients. `explain.rs` and `simulate.rs` tell why a token is inactive and
//! what a request would get, and `usage.rs` which clients were used lately. `deletion.rs` takes
//! deletions back, and `requests.rs` has requests that may come again.

mod administrators;
mod audit;
mod deletion;
mod endings;
mod error;
mod explain;
mod hashing;
mod import;
mod installation;
mod listing;
mod new;
mod owner;
mod pages;
mod quota;
mod requests;
mod rotation;
mod simulate;
mod tokens;
mod update;
mod update_secret;
mod usage;

use std::{collections::HashMap, sync::Arc};

use tokio::sync::Semaphore;

use crate::{
    domain::{
        Actor, Client, ClientId, ClientKey, ClientRecord, ClientSecret, ClientState, Clock, Error,
        HashCost, Random, StoredSecret, parse_label, parse_name, uuid_v4,
    },
    store::{ClientChange, Creation, LiveSecrets, Store},
};

pub use self::{
    audit::{AuditQuery, act, canonical_detail, detail_changes, seq},
    endings::leaves_no_secret,
    error::RegistryError,
    explain::{AskedToken, Explanation, Inactivity},
    import::{
        ImportedClient, ImportedProof, ImportedSecret, MAX_IMPORTED_CLIENTS, MAX_IMPORTED_SECRETS,
    },
    new::{NewClient, NewSecret},
    pages::ClientPage,
    requests::Once,
    rotation::{EVIDENCE_PATIENCE, ExpiringSecret, RotationReport, SecretReport, UnusedClients},
    simulate::{Simulated, Simulation},
    tokens::{RevokedToken, TokenPage},
    update::{AudienceChange, ClientUpdate, Updated, check as check_record},
    usage::Usage,
};

/// Implements the client use cases.
#[derive(Clone)]
pub struct Registry {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
    hash_cost: HashCost,
    /// A turn for computing a hash.
    hashing: Arc<Semaphore>,
    actor: Actor,
}

impl Registry {
    /// Opens a registry on a store whose schema is up to date, and checks that the tag key can be
    /// read. The audit trail names `actor` for every change made through it.
    pub async fn open(
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
        random: Arc<dyn Random>,
        hash_cost: HashCost,
        actor: Actor,
    ) -> Result<Self, Error> {
        let registry = Self::new(store, clock, random, hash_cost, actor);
        registry.store.installation().await?;
        Ok(registry)
    }

    /// Like [`open`](Self::open), but without a query. The tag key is read for each new secret: it
    /// may have been rotated, and a role that only reads clients has no access to it.
    pub fn new(
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
        random: Arc<dyn Random>,
        hash_cost: HashCost,
        actor: Actor,
    ) -> Self {
        Self { store, clock, random, hash_cost, hashing: Arc::new(Semaphore::new(1)), actor }
    }

    /// The same registry for another actor. It costs as much as cloning a few pointers, so every
    /// call can name the actor that the audit trail shows.
    #[must_use]
    pub fn acting_as(&self, actor: Actor) -> Self {
        Self { actor, ..self.clone() }
    }

    /// Creates a client with its first secret. The secret is returned here and never again.
    pub async fn create_client(
        &self,
        new: NewClient,
        secret: NewSecret,
    ) -> Result<(Client, ClientSecret), RegistryError> {
        let (record, _, text) = self.make_client(new, secret).await?;
        Ok((record.client, text))
    }

    /// Like [`create_client`](Self::create_client), and returns all that was stored.
    pub async fn make_client(
        &self,
        new: NewClient,
        secret: NewSecret,
    ) -> Result<(ClientRecord, StoredSecret, ClientSecret), RegistryError> {
        let record = self.record_of(new)?;
        let (stored, text) = self.make_secret(record.client.key, secret).await?;
        match self.store.create_client(&record, &stored, &self.actor).await? {
            Creation::Created => Ok((record, stored, text)),
            Creation::ClientIdTaken => Err(RegistryError::ClientIdTaken(record.client.client_id)),
        }
    }

    /// The client that [`create_client`](Self::create_client) would make now. Makes none.
    pub async fn preview_client(&self, new: NewClient) -> Result<ClientRecord, RegistryError> {
        let record = self.record_of(new)?;
        match self.store.find_record(&record.client.client_id).await? {
            None => Ok(record),
            Some(_) => Err(RegistryError::ClientIdTaken(record.client.client_id)),
        }
    }

    /// Creates a client without a secret. It cannot authenticate until it is given one.
    pub async fn create_client_without_secret(
        &self,
        new: NewClient,
    ) -> Result<Client, RegistryError> {
        let record = self.record_of(new)?;
        match self.store.create_client_without_secret(&record, &self.actor).await? {
            Creation::Created => Ok(record.client),
            Creation::ClientIdTaken => Err(RegistryError::ClientIdTaken(record.client.client_id)),
        }
    }

    /// What a new client is, with an id and a time of creation. Stores nothing.
    pub fn record_of(&self, new: NewClient) -> Result<ClientRecord, RegistryError> {
        let name = parse_name(&new.name)?;
        let default_scopes = new.default_scopes.unwrap_or_else(|| new.scopes.clone());
        let key = uuid_v4(self.random.as_ref())?;
        let client_id = match new.client_id {
            Some(client_id) => client_id,
            None => ClientId::parse(&uuid_v4(self.random.as_ref())?.to_string())?,
        };
        let client = Client {
            key: ClientKey(key),
            client_id,
            name,
            state: ClientState::Active,
            grants: new.grants,
            scopes: new.scopes,
            default_scopes,
            audiences: new.audiences,
            default_audience: new.default_audience,
            several_audiences: new.several_audiences,
            serves: new.serves,
            token_lifetime: new.token_lifetime,
            quota: new.quota,
            not_before: None,
            created_at: self.clock.now(),
            version: 1,
        };
        let record = ClientRecord { client, about: new.about };
        update::check(&record)?;
        Ok(record)
    }

    async fn make_secret(
        &self,
        client: ClientKey,
        new: NewSecret,
    ) -> Result<(StoredSecret, ClientSecret), RegistryError> {
        let label = parse_label(&new.label)?;
        let keys = self.store.installation().await?.tag_keys;
        // The store takes a later time if the clock of this machine is behind that of a rotation,
        // so that a secret made with the current key is never taken for an earlier one.
        let created_at = self.clock.now();
        let secret = ClientSecret::generate(self.random.as_ref(), keys.current())?;
        let (secret, hash) = self.hash(secret).await?;
        let stored = StoredSecret {
            id: secret.id(),
            client,
            hash,
            label,
            created_at,
            expires_at: new.expires_at,
            retired_at: None,
            leaked_at: None,
            retiring: None,
            forgotten_at: None,
        };
        Ok((stored, secret))
    }

    /// Returns a summary of the secrets that are not retired, for each client that has some.
    pub async fn live_secrets(&self) -> Result<HashMap<ClientKey, LiveSecrets>, RegistryError> {
        Ok(self.store.live_secrets(self.clock.now()).await?.into_iter().collect())
    }

    /// Enables or disables a client. A disabled client cannot authenticate and its tokens are
    /// inactive until it is enabled again.
    pub async fn set_client_state(
        &self,
        client_id: &ClientId,
        state: ClientState,
    ) -> Result<(), RegistryError> {
        found_or_missing(
            client_id,
            self.store.change_client(client_id, ClientChange::State(state), &self.actor).await?,
        )
    }

    /// Revokes all current tokens of a client. They are selected by a counter and not by a time, so
    /// a token issued immediately before is not missed.
    pub async fn revoke_tokens(&self, client_id: &ClientId) -> Result<(), RegistryError> {
        found_or_missing(client_id, self.store.revoke_client_tokens(client_id, &self.actor).await?)
    }

    /// Deletes a client with its secrets. Its tokens become inactive, and stay so if the
    /// `client_id` is registered again, or the deletion is taken back.
    pub async fn delete_client(&self, client_id: &ClientId) -> Result<(), RegistryError> {
        found_or_missing(client_id, self.store.delete_client(client_id, &self.actor).await?)
    }

    /// Adds a secret to a client, unless that has as many live ones as it may have. The secret is
    /// returned here and never again.
    pub async fn add_secret(
        &self,
        client_id: &ClientId,
        secret: NewSecret,
    ) -> Result<(StoredSecret, ClientSecret), RegistryError> {
        let client = self.find(client_id).await?;
        let (stored, secret) = self.make_secret(client.key, secret).await?;
        if self.store.add_secret(&stored, &self.actor).await? {
            return Ok((stored, secret));
        }
        Err(self.why_not_added(&client).await?)
    }

    async fn find(&self, client_id: &ClientId) -> Result<Client, RegistryError> {
        let found = self.store.find_client(client_id, None).await?;
        found
            .map(|found| Arc::unwrap_or_clone(found.client))
            .ok_or_else(|| RegistryError::NoSuchClient(client_id.clone()))
    }
}

fn found_or_missing(client_id: &ClientId, found: bool) -> Result<(), RegistryError> {
    if found { Ok(()) } else { Err(RegistryError::NoSuchClient(client_id.clone())) }
}
