//! Errors of a node that does not start.

use std::{io, time::Duration};

use crate::{
    domain::{Cause, Error},
    net::ListenError,
    store::migrate::SchemaError,
};

/// Reason why a node does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The address of a listener cannot be bound.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// The hash pool cannot be started.
    #[error("cannot start the hash pool")]
    HashPool(#[source] Cause),
    /// The worker threads, which serve connections, cannot be started.
    #[error("cannot start the worker threads")]
    Workers(#[source] io::Error),
    /// The database schema cannot be used.
    #[error(transparent)]
    Schema(#[from] SchemaError),
    /// The database did not answer within the start timeout; with the last error.
    #[error("the database did not answer within {} seconds", .0.as_secs())]
    NoDatabase(Duration, #[source] Error),
    /// The reflection service cannot be built from the protobuf descriptors.
    #[error("cannot read the protobuf descriptors")]
    Reflection(#[from] tonic_reflection::server::Error),
}
