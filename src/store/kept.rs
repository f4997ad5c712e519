//! What is kept for second thoughts: deleted clients, and requests that may come again. Both are
//! removed by upkeep.

use std::collections::BTreeSet;

use async_trait::async_trait;
use uuid::Uuid;

use crate::domain::{
    Actor, Audience, ClientId, ClientKey, ClientRecord, ClientState, Error, RequestKey, Scope,
    SecretHash, SecretId, StoredSecret, Timestamp,
};

/// A client that was deleted and can come back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeletedClient {
    /// Its key, which it gets again.
    pub key: ClientKey,
    /// Scopes that its tokens could have.
    pub scopes: BTreeSet<Scope>,
    /// Audiences that its tokens could be for.
    pub audiences: BTreeSet<Audience>,
    /// Audiences that it served.
    pub serves: BTreeSet<Audience>,
    /// Version of its row, which tells this deletion from an earlier or later one.
    pub version: i64,
}

/// What a request made when it came for the first time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EarlierRequest {
    /// SHA-256 of its content.
    pub digest: Vec<u8>,
    /// The client that it was about; `None` if that was deleted.
    pub client_id: Option<ClientId>,
    /// The secret that it made.
    pub secret: SecretId,
}

/// Deletion that can be undone for 30 days, and changes of a client that must still be as it was
/// read.
///
/// # Errors
/// As described at [`Store`](super::Store).
#[async_trait]
pub trait DeletionStore: Send + Sync {
    /// Enables or disables a client if its row still has version `read`. Otherwise returns false.
    async fn set_state_of(
        &self,
        client_id: &ClientId,
        state: ClientState,
        read: i64,
        actor: &Actor,
    ) -> Result<bool, Error>;

    /// Deletes a client with its secrets if its row still has version `read`. Otherwise returns
    /// false.
    async fn delete_version(
        &self,
        client_id: &ClientId,
        read: i64,
        actor: &Actor,
    ) -> Result<bool, Error>;

    /// Finds the client that had this `client_id` and was deleted last.
    async fn deleted_client(&self, client_id: &ClientId) -> Result<Option<DeletedClient>, Error>;

    /// Makes a deleted client anew, with its secrets. It is disabled, secrets that are live are
    /// retired at `now`, and its tokens stay inactive. Returns false if it is not kept as it was
    /// read, or if another client has its `client_id`.
    async fn undelete_client(
        &self,
        deleted: &DeletedClient,
        now: Timestamp,
        actor: &Actor,
    ) -> Result<bool, Error>;
}

/// Requests of one actor that made a secret. Each is kept for at least 24 hours.
///
/// # Errors
/// As described at [`Store`](super::Store).
#[async_trait]
pub trait RequestStore: Send + Sync {
    /// Finds what a request of this actor made.
    async fn find_request(&self, id: Uuid, actor: &Actor) -> Result<Option<EarlierRequest>, Error>;

    /// Stores a new client, its first secret and the request for them: all or nothing. Returns
    /// false if the `client_id` is taken or the request came before.
    async fn create_client_once(
        &self,
        record: &ClientRecord,
        secret: &StoredSecret,
        request: &RequestKey,
        actor: &Actor,
    ) -> Result<bool, Error>;

    /// Stores one more secret and the request for it: both or neither. Returns false if its client
    /// does not exist any more or the request came before.
    async fn add_secret_once(
        &self,
        secret: &StoredSecret,
        request: &RequestKey,
        actor: &Actor,
    ) -> Result<bool, Error>;

    /// Replaces the hash of the secret that this request made, because nobody knows its text.
    /// Returns false if a use of it was counted, or if it is not live any more. Otherwise returns
    /// once no node accepts the earlier text.
    async fn remint_secret(
        &self,
        request: Uuid,
        hash: &SecretHash,
        now: Timestamp,
        actor: &Actor,
    ) -> Result<bool, Error>;
}
