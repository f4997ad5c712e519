//! Credentials with which clients authenticate (RFC 6749, section 2.3).
//!
//! Each kind is a variant here, as it is presented and as it is stored. The only kind so far is the
//! client secret, made here or imported. Tokens, the cache and the change feed name a credential by
//! its id alone, so they stay as they are when a kind is added.

use uuid::Uuid;

use super::{ClientSecret, ForeignSecret, SecretHash, SecretId, StoredSecret, Timestamp};

/// Id of a credential of any kind. The id is not secret: it is stored with each token that was
/// issued with the credential.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CredentialId(pub Uuid);

impl From<SecretId> for CredentialId {
    fn from(id: SecretId) -> Self {
        Self(id.0)
    }
}

/// A credential as a caller presents it. Its `Debug` is redacted.
#[derive(Debug)]
pub enum PresentedCredential {
    /// A client secret, in the `Authorization` header or in the message (section 2.3.1).
    Secret(ClientSecret),
    /// The same, of another system: its text names no secret and has no tag.
    Foreign(ForeignSecret),
}

/// A credential as it is stored.
#[derive(Debug, Clone)]
pub enum StoredCredential {
    /// A client secret.
    Secret(StoredSecret),
}

impl StoredCredential {
    /// Id of the credential.
    #[must_use]
    pub fn id(&self) -> CredentialId {
        match self {
            Self::Secret(secret) => secret.id.into(),
        }
    }

    /// Whether a client may authenticate with it at `now`.
    #[must_use]
    pub fn is_live(&self, now: Timestamp) -> bool {
        match self {
            Self::Secret(secret) => secret.is_live(now),
        }
    }

    /// Whether it is to be retired at a moment that was asked for.
    #[must_use]
    pub const fn is_retiring(&self) -> bool {
        match self {
            Self::Secret(secret) => secret.retiring.is_some(),
        }
    }

    /// Hash to compare a presented secret with; `None` for a credential of another kind.
    #[must_use]
    pub const fn secret_hash(&self) -> Option<&SecretHash> {
        match self {
            Self::Secret(secret) => Some(&secret.hash),
        }
    }
}
