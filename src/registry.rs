//! The use cases on clients: create, list, disable, delete, and the life of their secrets.

mod error;

use std::{collections::BTreeSet, sync::Arc};

use tokio::sync::OnceCell;

use crate::{
    domain::{
        Actor, Audience, Client, ClientId, ClientKey, ClientSecret, ClientState, Clock, Error,
        GrantType, HashCost, HashMemory, MAX_LABEL_LENGTH, MAX_NAME_LENGTH, Malformed, Random,
        Scope, SecretHash, SecretId, StoredSecret, TagKey, Timestamp, TokenLifetime, uuid_v4,
    },
    store::{Creation, Readable, Retirement, Store},
};

pub use self::error::RegistryError;

/// The most clients of one page.
const PAGE: u32 = 500;

/// What a new client shall be.
#[derive(Debug)]
pub struct NewClient {
    /// The public name; a random one if none is given.
    pub client_id: Option<ClientId>,
    /// What people call it.
    pub name: String,
    /// The grants that it may use.
    pub grants: BTreeSet<GrantType>,
    /// The scopes that its tokens may carry.
    pub scopes: BTreeSet<Scope>,
    /// The scopes of a token for which none are asked; all of `scopes` if none is given.
    pub default_scopes: Option<BTreeSet<Scope>>,
    /// The audiences that its tokens may be for.
    pub audiences: BTreeSet<Audience>,
    /// The audiences that it serves.
    pub serves: BTreeSet<Audience>,
    /// How long its tokens live.
    pub token_lifetime: TokenLifetime,
}

/// What a new secret shall be.
#[derive(Debug, Default)]
pub struct NewSecret {
    /// What people call it.
    pub label: String,
    /// From when it is refused.
    pub expires_at: Option<Timestamp>,
}

/// The use cases on clients.
pub struct Registry {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
    hash_cost: HashCost,
    /// None as long as no secret is made: who only looks need not be able to read it.
    tag_key: OnceCell<TagKey>,
    actor: Actor,
}

impl Registry {
    /// A registry on a store whose schema is up to date. The audit trail names `actor` for all
    /// that is changed through it.
    pub async fn open(
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
        random: Arc<dyn Random>,
        hash_cost: HashCost,
        actor: Actor,
    ) -> Result<Self, Error> {
        let registry = Self::new(store, clock, random, hash_cost, actor);
        registry.tag_key().await?;
        Ok(registry)
    }

    /// The same without a look into the database. It is asked for what it takes to make a secret
    /// when one is made.
    pub fn new(
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
        random: Arc<dyn Random>,
        hash_cost: HashCost,
        actor: Actor,
    ) -> Self {
        Self { store, clock, random, hash_cost, tag_key: OnceCell::new(), actor }
    }

    async fn tag_key(&self) -> Result<&TagKey, Error> {
        let read = || async { Ok(self.store.installation().await?.tag_key) };
        self.tag_key.get_or_try_init(read).await
    }

    /// Registers a client and makes its first secret, which is shown here and never again.
    pub async fn create_client(
        &self,
        new: NewClient,
        secret: NewSecret,
    ) -> Result<(Client, ClientSecret), RegistryError> {
        let client = self.client_of(new)?;
        let (stored, secret) = self.make_secret(client.key, secret).await?;
        match self.store.create_client(&client, &stored, &self.actor).await? {
            Creation::Created => Ok((client, secret)),
            Creation::ClientIdTaken => Err(RegistryError::ClientIdTaken(client.client_id)),
        }
    }

    fn client_of(&self, new: NewClient) -> Result<Client, RegistryError> {
        if new.name.len() > MAX_NAME_LENGTH || new.name.contains('\0') {
            return Err(Malformed("a name has at most 256 bytes and no NUL").into());
        }
        let default_scopes = new.default_scopes.unwrap_or_else(|| new.scopes.clone());
        if !default_scopes.is_subset(&new.scopes) {
            return Err(Malformed("a default scope must be one of the client's scopes").into());
        }
        let key = uuid_v4(self.random.as_ref())?;
        let client_id = match new.client_id {
            Some(client_id) => client_id,
            None => ClientId::parse(&uuid_v4(self.random.as_ref())?.to_string())?,
        };
        Ok(Client {
            key: ClientKey(key),
            client_id,
            name: new.name,
            state: ClientState::Active,
            grants: new.grants,
            scopes: new.scopes,
            default_scopes,
            audiences: new.audiences,
            serves: new.serves,
            token_lifetime: new.token_lifetime,
            not_before: None,
            created_at: self.clock.now(),
            version: 1,
        })
    }

    async fn make_secret(
        &self,
        client: ClientKey,
        new: NewSecret,
    ) -> Result<(StoredSecret, ClientSecret), RegistryError> {
        if new.label.len() > MAX_LABEL_LENGTH || new.label.contains('\0') {
            return Err(Malformed("a label has at most 128 bytes and no NUL").into());
        }
        let secret = ClientSecret::generate(self.random.as_ref(), self.tag_key().await?)?;
        // One hash for one command: a pool of threads would be idle for the rest of its life.
        let mut memory = HashMemory::for_cost(self.hash_cost);
        let hash = SecretHash::compute(&secret, self.hash_cost, self.random.as_ref(), &mut memory)
            .map_err(RegistryError::Hash)?;
        let stored = StoredSecret {
            id: secret.id(),
            client,
            hash,
            label: new.label,
            created_at: self.clock.now(),
            expires_at: new.expires_at,
            retired_at: None,
            burnt_at: None,
        };
        Ok((stored, secret))
    }

    /// Finds one client with all its secrets, those too that cannot be read.
    pub async fn show_client(
        &self,
        client_id: &ClientId,
    ) -> Result<(Readable<Client>, Vec<Readable<StoredSecret>>), RegistryError> {
        let client = match self.find(client_id).await {
            Ok(client) => Ok(client),
            Err(RegistryError::Unreadable(row)) => Err(row),
            Err(error) => return Err(error),
        };
        let secrets = self.store.list_secrets(client_id).await?;
        Ok((client, secrets))
    }

    /// All clients, in order of `client_id`, those too that cannot be read.
    pub async fn list_clients(&self) -> Result<Vec<Readable<Client>>, RegistryError> {
        let mut clients: Vec<Readable<Client>> = Vec::new();
        let (mut after, mut limit) = (None::<String>, PAGE);
        loop {
            let mut page = self.store.list_clients(after.as_deref(), limit).await?;
            if page.len() < limit as usize {
                clients.extend(page);
                return Ok(clients);
            }
            // The next page begins after a name, so this one ends with one: what follows comes
            // again. If no name of a whole page is a text, there must be more of them to a page.
            let named = page.iter().rposition(|client| name(client).is_some());
            let Some(last) = named else {
                limit = limit.saturating_mul(2);
                continue;
            };
            page.truncate(last + 1);
            after = page.last().and_then(name).map(str::to_owned);
            clients.extend(page);
            limit = PAGE;
        }
    }

    /// Lets a client act, or stops it and its tokens for as long as this lasts.
    pub async fn set_client_state(
        &self,
        client_id: &ClientId,
        state: ClientState,
    ) -> Result<(), RegistryError> {
        expect(client_id, self.store.set_client_state(client_id, state, &self.actor).await?)
    }

    /// Revokes all tokens that a client has now. It goes by a number and not by a clock, so it
    /// misses none that was issued just before.
    pub async fn revoke_tokens(&self, client_id: &ClientId) -> Result<(), RegistryError> {
        expect(client_id, self.store.revoke_client_tokens(client_id, &self.actor).await?)
    }

    /// Deletes a client with its secrets. Its tokens are dead, also if the name is given again.
    pub async fn delete_client(&self, client_id: &ClientId) -> Result<(), RegistryError> {
        expect(client_id, self.store.delete_client(client_id, &self.actor).await?)
    }

    /// Makes one more secret, which is shown here and never again.
    pub async fn add_secret(
        &self,
        client_id: &ClientId,
        secret: NewSecret,
    ) -> Result<(StoredSecret, ClientSecret), RegistryError> {
        let client = self.find(client_id).await?;
        let (stored, secret) = self.make_secret(client.key, secret).await?;
        expect(client_id, self.store.add_secret(&stored, &self.actor).await?)?;
        Ok((stored, secret))
    }

    /// Takes a secret out of use.
    pub async fn retire_secret(
        &self,
        client_id: &ClientId,
        secret: SecretId,
        retirement: Retirement,
    ) -> Result<(), RegistryError> {
        let now = self.clock.now();
        let retired =
            self.store.retire_secret(client_id, secret, retirement, now, &self.actor).await?;
        if retired {
            return Ok(());
        }
        self.find(client_id).await?;
        Err(RegistryError::NoSuchSecret(client_id.clone(), secret.0))
    }

    async fn find(&self, client_id: &ClientId) -> Result<Client, RegistryError> {
        let found = self.store.find_client(client_id, None).await?;
        found
            .map(|found| Arc::unwrap_or_clone(found.client))
            .ok_or_else(|| RegistryError::NoSuchClient(client_id.clone()))
    }
}

/// The `client_id` in a row, if it is a text.
fn name(client: &Readable<Client>) -> Option<&str> {
    match client {
        Ok(client) => Some(client.client_id.as_str()),
        Err(row) => row.client_id.as_deref(),
    }
}

fn expect(client_id: &ClientId, found: bool) -> Result<(), RegistryError> {
    if found { Ok(()) } else { Err(RegistryError::NoSuchClient(client_id.clone())) }
}
