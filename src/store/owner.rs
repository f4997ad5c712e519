//! Whose a secret is, for an operator who has only its text.

use async_trait::async_trait;

use super::Readable;
use crate::domain::{Client, Error, SecretId, StoredSecret, Timestamp};

/// A secret, with its hash left empty, and its client.
#[derive(Debug, Clone)]
pub struct OwnedSecret {
    /// The client that the secret belongs to.
    pub client: Readable<Client>,
    /// The secret.
    pub secret: Readable<StoredSecret>,
}

/// Looks up secrets by the id in their texts, for operators.
///
/// # Errors
/// As described at [`Store`](super::Store).
#[async_trait]
pub trait OwnerStore: Send + Sync {
    /// Finds a secret with its client. `None` if it does not exist any more.
    async fn owned_secret(&self, id: SecretId) -> Result<Option<OwnedSecret>, Error>;

    /// Counts the tokens that were issued with a secret, have not expired at `now` and are not
    /// revoked. It reads all live tokens.
    async fn count_tokens(&self, secret: SecretId, now: Timestamp) -> Result<u64, Error>;
}
