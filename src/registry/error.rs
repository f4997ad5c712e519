//! The error type of the client use cases.

use uuid::Uuid;

use crate::{
    domain::{Cause, ClientId, Error, Malformed, RandomFailed},
    store::UnreadableRow,
};

/// Why a client use case failed.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// There is no client with this `client_id`.
    #[error("there is no client {0}; `jeton client list` shows all clients")]
    NoSuchClient(ClientId),
    /// The client has no secret with this id.
    #[error("client {0} has no secret {1}")]
    NoSuchSecret(ClientId, Uuid),
    /// The `client_id` is taken.
    #[error("there is already a client {0}; delete it first, or choose another client id")]
    ClientIdTaken(ClientId),
    /// A value is not valid.
    #[error(transparent)]
    Malformed(#[from] Malformed),
    /// The secret could not be hashed.
    #[error("the secret cannot be hashed")]
    Hash(#[source] Cause),
    /// The requested row cannot be read.
    #[error(transparent)]
    Unreadable(UnreadableRow),
    /// The store or the source of randomness failed.
    #[error("the database cannot be used")]
    Store(#[source] Error),
}

impl From<Error> for RegistryError {
    fn from(error: Error) -> Self {
        UnreadableRow::behind(error).map_or_else(Self::Store, Self::Unreadable)
    }
}

impl From<RandomFailed> for RegistryError {
    fn from(failed: RandomFailed) -> Self {
        Self::Store(failed.into())
    }
}
