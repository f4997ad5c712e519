//! What can be found out and done about a secret of which only the text is known.

use async_trait::async_trait;

use super::Readable;
use crate::domain::{Actor, Client, ClientId, Error, SecretId, StoredSecret, Timestamp};

/// A secret, with its hash left empty, and its client.
#[derive(Debug, Clone)]
pub struct OwnedSecret {
    /// The client that the secret belongs to.
    pub client: Readable<Client>,
    /// The secret.
    pub secret: Readable<StoredSecret>,
}

/// Looks up secrets by the id in their texts, for operators, and for nodes to which leaked ones are
/// reported.
///
/// # Errors
/// As described at [`Store`](super::Store).
#[async_trait]
pub trait OwnerStore: Send + Sync {
    /// Finds a secret with its client. `None` if it does not exist any more.
    async fn owned_secret(&self, id: SecretId) -> Result<Option<OwnedSecret>, Error>;

    /// Finds a secret with its hash, which nodes alone may read, also one of a deleted client that
    /// can come back. `None` if it does not exist any more.
    async fn secret_with_hash(&self, id: SecretId) -> Result<Option<StoredSecret>, Error>;

    /// Declares a secret leaked, in the name of `actor`, also one of a deleted client that can come
    /// back. Returns false if it does not exist any more, or if it leaked before. Does not wait for
    /// other nodes: see [`FeedStore::settle`](super::FeedStore::settle).
    async fn burn_secret(&self, id: SecretId, now: Timestamp, actor: &Actor)
    -> Result<bool, Error>;

    /// Declares a secret of a deleted client leaked, so that it stays out of use when the client
    /// comes back. Returns the `client_id` that the client had; `None` if no deleted client that
    /// can come back has this secret.
    async fn burn_kept_secret(
        &self,
        id: SecretId,
        now: Timestamp,
        actor: &Actor,
    ) -> Result<Option<ClientId>, Error>;

    /// Counts the tokens that were issued with a secret, have not expired at `now` and are not
    /// revoked. It reads all live tokens.
    async fn count_tokens(&self, secret: SecretId, now: Timestamp) -> Result<u64, Error>;
}
