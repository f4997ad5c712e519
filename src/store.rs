//! What is kept, in the domain's words. Two databases stand behind one narrow trait, and one
//! conformance suite runs on both.
//!
//! A query is on the trait because a use case needs it. Each is one statement, or runs to its end
//! although its caller may be gone, so that no transaction is left half open.

mod connections;
mod holdings;
mod lanes;
pub mod migrate;
mod obstacle;
mod postgres;
mod row;
mod sqlite;
mod upkeep;

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;

use self::migrate::{Migrated, SchemaError};
pub use self::{
    connections::Connections,
    holdings::{Finished, Holdings},
    lanes::Stores,
    obstacle::Obstacle,
    postgres::{Address, AddressError, PostgresOptions, PostgresStore, RolePrefix, Snapshot},
    row::UnreadableRow,
    sqlite::{Replacement, SqliteStore},
    upkeep::Upkeep,
};
use crate::domain::{
    AccessToken, Actor, AuditEntry, AuditMark, Client, ClientId, ClientKey, ClientState,
    CredentialId, Error, Random, SecretId, StoredCredential, StoredSecret, TagKey, Timestamp,
    TokenDigest, TokenFacts, TokenId,
};

/// What the first migration made once for this installation.
#[derive(Debug, Clone)]
pub struct Installation {
    /// The key under which secrets and tokens are tagged.
    pub tag_key: TagKey,
}

/// A client, and the one credential that was asked for, if the client has it.
#[derive(Debug, Clone)]
pub struct FoundClient {
    /// The client.
    pub client: Arc<Client>,
    /// Its credential of the id that was asked for.
    pub credential: Option<Arc<StoredCredential>>,
}

/// A stored token, read in one statement with everything that decides whether it is active. Tokens
/// of a deleted client are not found.
#[derive(Debug, Clone)]
pub struct FoundToken {
    /// Digest of the token's text, which the presented text must match.
    pub digest: TokenDigest,
    /// The credential that it was issued with.
    pub credential: CredentialId,
    /// The facts that introspection evaluates.
    pub facts: TokenFacts,
}

/// What stands in a row, or why that cannot be read: one of many, which fails alone.
pub type Readable<T> = Result<T, UnreadableRow>;

/// A token, or why its row cannot be read.
pub type FoundOrFault = Result<FoundToken, Error>;

/// What became of a client that was to be created.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Creation {
    /// It is stored.
    Created,
    /// Its `client_id` is taken. Nothing was changed.
    ClientIdTaken,
}

/// How a secret is taken out of use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retirement {
    /// It authenticates no more; tokens issued with it live on.
    Retired,
    /// It leaked: tokens issued with it are dead as well.
    Burnt,
}

/// What has changed, as far as it matters to a node that remembers things.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// A client, or one of its secrets: all that was read of it or of its tokens is doubtful.
    Client(ClientKey),
    /// A token was revoked, or its row changed.
    Token(TokenId),
    /// Nothing that is remembered can be relied upon.
    Everything,
}

/// What a node hears of changes through. As long as its lease runs, whoever revokes, disables or
/// retires waits until the node has applied that change; so what it remembers is as true as a look
/// into the database. A feed that fails is lost, and with it whatever was remembered.
///
/// # Errors
/// As those of [`Store`]; the feed is lost then.
#[async_trait]
pub trait Feed: Send {
    /// Begins, after the last change that there is. Nothing that was read before may be relied
    /// upon, for changes may have been made since.
    async fn join(&mut self) -> Result<(), Error>;

    /// The changes since the last that was read, in the order in which they were committed.
    async fn read(&mut self) -> Result<Vec<Change>, Error>;

    /// Says that everything read so far is applied, and takes the lease anew. The lease runs from
    /// before this is called. Changes may have been made after an old lease ended and before this
    /// one began, so nothing is relied upon before one more look. Returns the time of the database,
    /// if that is on another machine.
    async fn renew(&mut self) -> Result<Option<Timestamp>, Error>;

    /// How long a lease lasts, with all that clocks may differ by taken off.
    fn lease(&self) -> Duration;

    /// Waits until there may be a change, or the lease is to be renewed.
    async fn rest(&mut self) -> Result<(), Error>;

    /// Gives the lease back, so that nobody waits for this node.
    async fn leave(&mut self);
}

/// What the use cases ask of a database.
///
/// What takes something back, be it a token, a secret or the right of a client to act, returns when
/// no node will go on as if nothing had happened.
///
/// # Errors
/// `Error::Unavailable` if the database does not answer or could answer later; whether a write
/// happened is then unknown. `Error::Internal` for a fault of a statement, or around an
/// [`UnreadableRow`] if the one row that was asked for cannot be read. Where several rows are read,
/// each fails for itself. No other error.
#[async_trait]
pub trait Store: Send + Sync {
    /// Brings the schema up to date. Safe when several nodes do it at once.
    async fn migrate(&self, now: Timestamp, random: &dyn Random) -> Result<Migrated, SchemaError>;

    /// Refuses every schema but the one that this binary needs.
    async fn check_schema(&self) -> Result<(), SchemaError>;

    /// Reads what was made once for this installation.
    async fn installation(&self) -> Result<Installation, Error>;

    /// Finds a client by its public name, and the secret that a presented text names.
    async fn find_client(
        &self,
        client_id: &ClientId,
        credential: Option<CredentialId>,
    ) -> Result<Option<FoundClient>, Error>;

    /// Stores tokens durably, and returns those that it stored: they survive a crash. It refuses
    /// those whose client may not act, and those whose secret is not in use any more.
    async fn record_tokens(&self, tokens: &[AccessToken]) -> Result<Vec<TokenId>, Error>;

    /// Finds tokens, with everything that decides what each is worth. Those that there are not are
    /// left out, and one that cannot be read is a fault of its own.
    async fn find_tokens(&self, ids: &[TokenId]) -> Result<Vec<(TokenId, FoundOrFault)>, Error>;

    /// Marks a token revoked, durably, and keeps the mark until `keep_until`. Again is no error.
    async fn revoke_token(
        &self,
        id: TokenId,
        now: Timestamp,
        keep_until: Timestamp,
        actor: &Actor,
    ) -> Result<(), Error>;

    /// Stores a new client and its first secret, both or neither.
    async fn create_client(
        &self,
        client: &Client,
        secret: &StoredSecret,
        actor: &Actor,
    ) -> Result<Creation, Error>;

    /// At most `limit` clients in order of `client_id`, those after `after`: a `client_id` as it
    /// stands in its row, whether or not it could be one. Rows without any come first.
    async fn list_clients(
        &self,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Vec<Readable<Client>>, Error>;

    /// All secrets of a client, the oldest first. Their hashes are left empty, since nobody who
    /// lists secrets needs them.
    async fn list_secrets(
        &self,
        client_id: &ClientId,
    ) -> Result<Vec<Readable<StoredSecret>>, Error>;

    /// Sets the state of a client; false if there is none of that name.
    async fn set_client_state(
        &self,
        client_id: &ClientId,
        state: ClientState,
        actor: &Actor,
    ) -> Result<bool, Error>;

    /// Ends all tokens that a client has now; false if there is no client of that name.
    async fn revoke_client_tokens(
        &self,
        client_id: &ClientId,
        actor: &Actor,
    ) -> Result<bool, Error>;

    /// Deletes a client with its secrets; its tokens are dead. False if there is none.
    async fn delete_client(&self, client_id: &ClientId, actor: &Actor) -> Result<bool, Error>;

    /// Stores one more secret; false if its client is gone.
    async fn add_secret(&self, secret: &StoredSecret, actor: &Actor) -> Result<bool, Error>;

    /// Takes a secret of this client out of use; false if the client has none of that id. A
    /// retired secret can still be burnt, and a burnt one stays burnt.
    async fn retire_secret(
        &self,
        client_id: &ClientId,
        secret: SecretId,
        retirement: Retirement,
        now: Timestamp,
        actor: &Actor,
    ) -> Result<bool, Error>;

    /// At most `limit` rows of the audit trail, those after `seq`, in order.
    async fn audit_after(&self, seq: i64, limit: u32) -> Result<Vec<Readable<AuditEntry>>, Error>;

    /// The last rows of the audit trail, the newest first; those of one `client_id` if it is given.
    async fn last_of_audit(
        &self,
        client_id: Option<&ClientId>,
        limit: u32,
    ) -> Result<Vec<Readable<AuditEntry>>, Error>;

    /// The last sealed row of the audit trail; none if there is none.
    async fn audit_head(&self) -> Result<Option<AuditMark>, Error>;

    /// Returns when no node goes by what was true before this was called.
    async fn settle(&self) -> Result<(), Error>;

    /// Whether a node must hold a lease to answer from here. A database on another machine can be
    /// the wrong one, a standby that is behind, and only a lease that was written shows that it is
    /// not. A file is always the right one.
    fn needs_lease(&self) -> bool;
    /// Does what must be done to a database that was restored from a copy: the tokens of before are
    /// dead, the change feed and the leases begin anew, and the audit trail says so. Returns when
    /// no node goes by what was true before.
    async fn finish_restore(&self, now: Timestamp, actor: &Actor) -> Result<Finished, Error>;

    /// What changes wait for at this moment, as far as it can be told.
    async fn obstacles(&self) -> Result<Vec<Obstacle>, Error>;

    /// A way to hear of changes, by leases of this length where the database has leases. Connects,
    /// and does not begin yet.
    async fn follow(&self, lease: Duration) -> Result<Box<dyn Feed>, Error>;

    /// Makes room for the tokens of now and of the day to come, before a node serves. A store in
    /// which there is always room does nothing.
    async fn make_room(&self, _now: Timestamp) -> Result<(), Error> {
        Ok(())
    }

    /// Makes room for the tokens to come, and removes those that are long dead and what is older
    /// than so many days from the audit trail. Several nodes may call it at once.
    async fn upkeep(&self, now: Timestamp, audit_days: u32) -> Result<Upkeep, Error>;

    /// Makes one round trip: whether the database answers now, and is still the right one.
    async fn check(&self) -> Result<(), Error>;

    /// How the connections stand now.
    fn connections(&self) -> Connections;

    /// Waits for running statements and closes all connections.
    async fn close(&self);
}
