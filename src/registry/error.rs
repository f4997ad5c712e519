//! Why a use case on clients failed.

use uuid::Uuid;

use crate::{
    domain::{Cause, ClientId, Error, Malformed, RandomFailed},
    store::UnreadableRow,
};

/// Why a client was not changed.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// There is no client of this name.
    #[error("there is no client {0}; `jeton client list` shows those that there are")]
    NoSuchClient(ClientId),
    /// The client has no secret of this id.
    #[error("client {0} has no secret {1}")]
    NoSuchSecret(ClientId, Uuid),
    /// The name is taken.
    #[error("there is already a client {0}; delete it first, or choose another client id")]
    ClientIdTaken(ClientId),
    /// A value that the registry does not take.
    #[error(transparent)]
    Malformed(#[from] Malformed),
    /// The secret could not be hashed.
    #[error("the secret cannot be hashed")]
    Hash(#[source] Cause),
    /// The one row that is needed cannot be read.
    #[error(transparent)]
    Unreadable(UnreadableRow),
    /// What the store says.
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
