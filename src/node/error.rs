//! Why a node does not start.

use std::{io, time::Duration};

use crate::{
    domain::{Cause, Error},
    net::ListenError,
    store::migrate::SchemaError,
};

/// Why a node does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// An address cannot be listened on.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// The hash pool cannot be started.
    #[error("secrets cannot be hashed")]
    HashPool(#[source] Cause),
    /// The threads that serve connections cannot be started.
    #[error("the threads of the listeners cannot be started")]
    Workers(#[source] io::Error),
    /// The schema cannot be used.
    #[error(transparent)]
    Schema(#[from] SchemaError),
    /// The database does not answer.
    #[error("the database did not answer within {} seconds", .0.as_secs())]
    NoDatabase(Duration, #[source] Error),
    /// Reflection cannot be built from the descriptors.
    #[error("the descriptors of the contract cannot be read")]
    Reflection(#[from] tonic_reflection::server::Error),
}
