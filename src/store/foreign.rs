//! Clients that are imported from other systems, and the secrets that those made.

use async_trait::async_trait;

use super::{Creation, FoundClient};
use crate::domain::{
    Actor, ClientId, ClientRecord, Error, SecretHash, SecretId, StoredSecret, Timestamp,
};

/// Hash that is stored for a secret of another system where nodes look for the secret by its id. It
/// is the hash of no text.
pub(super) const NO_HASH: &str = "$argon2id$foreign";

/// A client with the secrets that come with it.
#[derive(Debug, Clone)]
pub struct ForeignClient {
    /// The client.
    pub record: ClientRecord,
    /// Its secrets, each with the hash that the other system stored, or with one of argon2id.
    pub secrets: Vec<StoredSecret>,
}

/// Secrets without a tag and without an id in their text.
///
/// # Errors
/// As described at [`Store`](super::Store).
#[async_trait]
pub trait ForeignStore: Send + Sync {
    /// Whether there is any such secret. Without one, no text without a tag is looked at.
    async fn has_foreign_secrets(&self) -> Result<bool, Error>;

    /// Finds a client with each of its three newest such secrets that are live at `now`; with none,
    /// if it has none; nothing, if there is no client.
    async fn find_foreign(
        &self,
        client_id: &ClientId,
        now: Timestamp,
    ) -> Result<Vec<FoundClient>, Error>;

    /// Replaces the hash `from` of such a secret by `to`, one of argon2id of the same text. False
    /// if it is another one by now.
    async fn replace_foreign_hash(
        &self,
        secret: SecretId,
        from: &SecretHash,
        to: &SecretHash,
        actor: &Actor,
    ) -> Result<bool, Error>;

    /// Stores new clients in one transaction, each with its secrets, and leaves out those whose
    /// `client_id` is taken. Returns what became of each, in their order.
    async fn import_clients(
        &self,
        clients: &[ForeignClient],
        actor: &Actor,
    ) -> Result<Vec<Creation>, Error>;
}
