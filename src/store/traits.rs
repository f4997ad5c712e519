//! The interface of a store, by role. A use case names the roles that it needs; [`Store`] is all of
//! them.

use std::time::Duration;

use async_trait::async_trait;

use super::{
    Adoption, AuditStore, ClientChange, Connections, Creation, DeletionStore, EndingSecret,
    ExplainStore, Feed, Finished, ForeignStore, FoundClient, FoundOrFault, Installation,
    LiveSecrets, Obstacle, OwnerStore, Readable, RecordStore, RecoveryStore, RequestStore,
    RotationStore, ServerProcess, TagKeyRotation, Upkeep,
    migrate::{Migrated, SchemaError},
};
use crate::domain::{
    AccessToken, Actor, ClientId, ClientKey, ClientRecord, CredentialId, Error, Random, SecretId,
    StoredSecret, TagKey, Timestamp, TokenId,
};

/// Queries and changes that the use cases need from a database.
///
/// Methods that withdraw something (retire a secret, disable or delete a client) return once no
/// node acts on the earlier state any more. Only [`TokenStore::revoke_tokens`] leaves that wait to
/// its caller, which shares it among the callers of many batches.
///
/// # Errors
/// `Error::Unavailable` if the database does not answer or a retry may succeed; whether a write
/// happened is then unknown. `Error::Internal` if a statement fails for good, or, with an
/// [`UnreadableRow`](super::UnreadableRow) as its cause, if the one requested row cannot be read.
/// Methods that return several rows report each unreadable row on its own. There are no other
/// errors.
pub trait Store:
    SchemaStore
    + InstallationStore
    + ClientStore
    + RecordStore
    + DeletionStore
    + RequestStore
    + ExpiryStore
    + ExplainStore
    + ForeignStore
    + OwnerStore
    + RotationStore
    + TokenStore
    + AuditStore
    + FeedStore
    + MaintainedStore
    + RecoveryStore
{
}

impl<T> Store for T where
    T: SchemaStore
        + InstallationStore
        + ClientStore
        + RecordStore
        + DeletionStore
        + RequestStore
        + ExpiryStore
        + ExplainStore
        + ForeignStore
        + OwnerStore
        + RotationStore
        + TokenStore
        + AuditStore
        + FeedStore
        + MaintainedStore
        + RecoveryStore
{
}

/// The schema.
///
/// # Errors
/// As described at [`Store`].
#[async_trait]
pub trait SchemaStore: Send + Sync {
    /// Applies the missing migrations. Several nodes may call it at the same time.
    async fn migrate(&self, now: Timestamp, random: &dyn Random) -> Result<Migrated, SchemaError>;

    /// Fails unless the schema is exactly the version that this binary needs.
    async fn check_schema(&self) -> Result<(), SchemaError>;

    /// Creates the partitions for current tokens and those of the next day, before a node serves.
    /// Does nothing in a store without partitions.
    async fn make_room(&self, _now: Timestamp) -> Result<(), Error> {
        Ok(())
    }

    /// Prepares a database that was restored from a backup: revokes all earlier tokens, resets the
    /// change feed and the leases, and records the restore in the audit trail. Returns once no node
    /// acts on the earlier state any more.
    async fn finish_restore(&self, now: Timestamp, actor: &Actor) -> Result<Finished, Error>;
}

/// What exists once per installation: the tag keys, and the generation of all tokens.
///
/// # Errors
/// As described at [`Store`].
#[async_trait]
pub trait InstallationStore: Send + Sync {
    /// Reads the data of the installation.
    async fn installation(&self) -> Result<Installation, Error>;

    /// Revokes all current tokens of all clients.
    async fn revoke_all_tokens(&self, actor: &Actor) -> Result<(), Error>;

    /// Begins a rotation of the tag key: offers `key` as the next one. Returns once every node
    /// accepts it. An offer that is there already stays in its place. False while the previous key
    /// is still accepted, because then nothing is changed.
    async fn offer_tag_key(&self, key: &TagKey, actor: &Actor) -> Result<bool, Error>;

    /// Makes the offered key the current one. Returns once every node makes texts with it.
    async fn adopt_tag_key(&self, now: Timestamp, actor: &Actor) -> Result<Adoption, Error>;

    /// Ends the previous key. Returns once every node refuses texts that were made with it. False
    /// if there is no previous key.
    async fn retire_tag_key(&self, actor: &Actor) -> Result<bool, Error>;

    /// Retires at most `limit` of the secrets that end with the previous tag key: they were made
    /// before the current one was used. Does nothing unless the previous one is still accepted.
    /// Returns how many were retired.
    async fn retire_earlier_secrets(
        &self,
        now: Timestamp,
        limit: u32,
        actor: &Actor,
    ) -> Result<u64, Error>;

    /// Lists the clients with live secrets that were made before the current tag key was used, and
    /// how many each has. Rows that cannot be read are left out.
    async fn earlier_secrets(&self, now: Timestamp) -> Result<Vec<(ClientId, u64)>, Error>;

    /// Reads how far a rotation of the tag key is.
    async fn tag_key_rotation(&self, now: Timestamp) -> Result<TagKeyRotation, Error>;
}

/// When secrets end.
///
/// # Errors
/// As described at [`Store`].
#[async_trait]
pub trait ExpiryStore: Send + Sync {
    /// Summarizes the secrets that are not retired, for each client that has some.
    async fn live_secrets(&self, now: Timestamp) -> Result<Vec<(ClientKey, LiveSecrets)>, Error>;

    /// Lists at most `limit` secrets of active clients that end between `from` and `until` and are
    /// not retired, first those that end first, and those that end at the same moment in order of
    /// their id. Of those that end at `from`, it leaves out all up to the id `after`. `None` stands
    /// for a row that cannot be read.
    async fn ending_secrets(
        &self,
        from: Timestamp,
        after: Option<SecretId>,
        until: Timestamp,
        limit: u32,
    ) -> Result<Vec<Option<EndingSecret>>, Error>;
}

/// Clients and their credentials.
///
/// # Errors
/// As described at [`Store`].
#[async_trait]
pub trait ClientStore: Send + Sync {
    /// Finds a client by its `client_id`, together with the credential of the given id.
    async fn find_client(
        &self,
        client_id: &ClientId,
        credential: Option<CredentialId>,
    ) -> Result<Option<FoundClient>, Error>;

    /// Stores a new client and its first secret: both or neither.
    async fn create_client(
        &self,
        record: &ClientRecord,
        secret: &StoredSecret,
        actor: &Actor,
    ) -> Result<Creation, Error>;

    /// Stores a new client without a secret: it cannot authenticate until it has one.
    async fn create_client_without_secret(
        &self,
        record: &ClientRecord,
        actor: &Actor,
    ) -> Result<Creation, Error>;

    /// Lists all secrets of a client, oldest first. Their hashes are left empty, because no caller
    /// that lists secrets needs them.
    async fn list_secrets(
        &self,
        client_id: &ClientId,
    ) -> Result<Vec<Readable<StoredSecret>>, Error>;

    /// Changes a client. Returns false if no client has this `client_id`.
    async fn change_client(
        &self,
        client_id: &ClientId,
        change: ClientChange,
        actor: &Actor,
    ) -> Result<bool, Error>;

    /// Revokes all current tokens of a client. Returns false if no client has this `client_id`.
    async fn revoke_client_tokens(
        &self,
        client_id: &ClientId,
        actor: &Actor,
    ) -> Result<bool, Error>;

    /// Deletes a client and its secrets. Its tokens become inactive. For 30 days it can be made
    /// anew. Returns false if no client has this `client_id`.
    async fn delete_client(&self, client_id: &ClientId, actor: &Actor) -> Result<bool, Error>;

    /// Stores one more secret. Returns false if its client does not exist any more, or has
    /// [`MAX_LIVE_SECRETS`](crate::domain::MAX_LIVE_SECRETS) live ones when the secret was made. Of
    /// several that are added at the same time, none exceeds that.
    async fn add_secret(&self, secret: &StoredSecret, actor: &Actor) -> Result<bool, Error>;
}

/// Access tokens and their revocations.
///
/// # Errors
/// As described at [`Store`].
#[async_trait]
pub trait TokenStore: Send + Sync {
    /// Stores tokens durably, so that they survive a crash, and returns the ids of those that it
    /// stored. Tokens whose client is not active, or whose secret is no longer in use, are refused.
    async fn record_tokens(&self, tokens: &[AccessToken]) -> Result<Vec<TokenId>, Error>;

    /// Finds tokens with everything that decides whether each is active. Ids without a token are
    /// left out. A token that cannot be read is a fault of its own and does not affect the others.
    async fn find_tokens(&self, ids: &[TokenId]) -> Result<Vec<(TokenId, FoundOrFault)>, Error>;

    /// Revokes tokens durably until they expire: all or none, each in the name of the client that
    /// it was issued to. An id without a token, or of one that is revoked already, is not an error.
    /// Does not wait for other nodes: see [`FeedStore::settle`].
    async fn revoke_tokens(&self, ids: &[TokenId], now: Timestamp) -> Result<(), Error>;
}

/// The change feed, and waiting until every node has applied a change.
///
/// # Errors
/// As described at [`Store`].
#[async_trait]
pub trait FeedStore: Send + Sync {
    /// Opens a change feed, with leases of length `lease` if the store has leases. Connects, but
    /// does not join the feed yet.
    async fn follow(&self, lease: Duration) -> Result<Box<dyn Feed>, Error>;

    /// Waits until no node acts on a state from before this call.
    async fn settle(&self) -> Result<(), Error>;

    /// Whether a node must hold a lease to answer from this store. A database on another machine
    /// may be the wrong one, such as a standby that is behind, and only a lease that this node has
    /// written there rules that out. A local file is always the right one.
    fn needs_lease(&self) -> bool;
}

/// Upkeep and the state of the connections.
///
/// # Errors
/// As described at [`Store`].
#[async_trait]
pub trait MaintainedStore: Send + Sync {
    /// Runs one round of upkeep: creates partitions ahead and deletes expired tokens, old
    /// revocations, old changes, and audit rows older than `audit_days`, and erases the hashes of
    /// secrets that ended long ago. Several nodes may call it at the same time.
    async fn upkeep(&self, now: Timestamp, audit_days: u32) -> Result<Upkeep, Error>;

    /// Lists what changes are waiting for at this moment, as far as the database shows it.
    async fn obstacles(&self) -> Result<Vec<Obstacle>, Error>;

    /// Makes one round trip to check that the database answers and is still the right one.
    async fn check(&self) -> Result<(), Error>;

    /// Counts the connections.
    fn connections(&self) -> Connections;

    /// Finds the process that serves a connection; `None` if the database is a file of this
    /// process, or does not tell.
    async fn server_process(&self) -> Result<Option<ServerProcess>, Error>;

    /// Waits for running statements and closes all connections.
    async fn close(&self);
}
