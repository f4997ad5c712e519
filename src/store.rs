//! The storage layer: values that stores exchange with use cases. The traits are in `traits.rs`;
//! Postgres and SQLite implement them, and one conformance suite runs on both.
//!
//! Each method exists because a use case needs it. It is one statement, or it runs to completion
//! even if its caller goes away, so no transaction is left open.

mod audit;
mod columns;
mod connections;
mod driver_error;
mod expiry;
mod explain;
mod foreign;
mod holdings;
mod installation;
mod kept;
mod lanes;
pub mod migrate;
mod obstacle;
mod owner;
mod postgres;
mod records;
mod recovery;
mod rotation;
mod row;
mod sqlite;
mod traits;
mod upgrade;
mod upkeep;

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;

pub use self::{
    audit::{AuditFilter, AuditStore, WHOLE_TRAIL},
    connections::{Connections, ServerProcess},
    driver_error::DriverError,
    expiry::{EndingSecret, LiveSecrets},
    explain::{ExplainStore, StoredToken},
    foreign::{ForeignClient, ForeignStore},
    holdings::{Finished, Holdings},
    installation::{Adoption, Installation, TagKeyRotation},
    kept::{DeletedClient, DeletionStore, EarlierRequest, RequestStore},
    lanes::Stores,
    obstacle::Obstacle,
    owner::{OwnedSecret, OwnerStore},
    postgres::{
        Address, AddressError, Denied, PostgresOptions, PostgresStore, RolePrefix, Snapshot,
    },
    records::{ClientFilter, RecordStore},
    recovery::RecoveryStore,
    rotation::{RotationStore, SecretChange, StoredEvidence, UnusedClient},
    row::UnreadableRow,
    sqlite::{EmbeddedSource, Replacement, SqliteStore},
    traits::{
        ClientStore, ExpiryStore, FeedStore, InstallationStore, MaintainedStore, SchemaStore,
        Store, TokenStore,
    },
    upkeep::{FORGET_AFTER, Sizes, Upkeep},
};
use crate::domain::{
    Client, ClientKey, ClientState, CredentialId, Error, QuotaChange, StoredCredential, TagKeys,
    Timestamp, TokenDigest, TokenFacts, TokenId,
};

/// A client with the credential that the query named.
#[derive(Debug, Clone)]
pub struct FoundClient {
    /// The client.
    pub client: Arc<Client>,
    /// `None` if the client has no credential with that id.
    pub credential: Option<Arc<StoredCredential>>,
}

/// A stored token, read in one statement with everything that decides whether it is active. Tokens
/// of a deleted client are not found.
#[derive(Debug, Clone)]
pub struct FoundToken {
    /// Digest of the token's text, which the presented text must match.
    pub digest: TokenDigest,
    /// The credential that it was issued with.
    pub credential: CredentialId,
    /// The facts that introspection evaluates.
    pub facts: TokenFacts,
}

/// One row of several, or the reason why it cannot be read. The other rows are unaffected.
pub type Readable<T> = Result<T, UnreadableRow>;

/// A token, or the fault with which reading its row failed.
pub type FoundOrFault = Result<FoundToken, Error>;

/// Result of creating a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Creation {
    /// The client is stored.
    Created,
    /// Another client has this `client_id`. Nothing was changed.
    ClientIdTaken,
}

/// A change of a client by an operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientChange {
    /// Its state.
    State(ClientState),
    /// The limits of its quota.
    Quota(QuotaChange),
}

/// How a secret is taken out of use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retirement {
    /// The secret no longer authenticates. Tokens issued with it stay valid.
    Retired,
    /// The secret no longer authenticates from this moment on, or from its expiry, if that is
    /// earlier. Tokens issued with it stay valid. Another moment replaces this one.
    At(Timestamp),
    /// The secret leaked: tokens issued with it become inactive as well.
    Leaked,
}

/// A change, as far as the cache of a node needs to know about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// A client or one of its secrets changed: invalidates everything read about the client and its
    /// tokens.
    Client(ClientKey),
    /// A token was revoked, or its row changed.
    Token(TokenId),
    /// Anything may have changed: invalidates the whole cache.
    Everything,
}

/// Change feed of a node. While the node holds a lease, a writer that revokes, disables or retires
/// is not acknowledged until the node has applied the change, so a cache hit is as current as a
/// database read. A feed that fails is lost, and the whole cache is invalidated with it.
///
/// # Errors
/// The errors of [`Store`]. After any of them the feed is lost.
#[async_trait]
pub trait Feed: Send {
    /// Joins the feed after its newest change. Everything cached before is invalid, because changes
    /// may have been made since.
    async fn join(&mut self) -> Result<(), Error>;

    /// Reads the changes since the previous read, in commit order.
    async fn read(&mut self) -> Result<Vec<Change>, Error>;

    /// Acknowledges every change read so far and renews the lease, which counts from before this
    /// call. Changes may have been made between the end of an expired lease and this renewal, so
    /// the caller must read once more before it uses the cache. Returns the time of the database,
    /// or `None` for an embedded one.
    async fn renew(&mut self) -> Result<Option<Timestamp>, Error>;

    /// Reads the tag keys; `None` if their row is missing or cannot be read.
    async fn tag_keys(&mut self) -> Result<Option<TagKeys>, Error>;

    /// Usable length of a lease: its length minus the margin for clock differences.
    fn lease(&self) -> Duration;

    /// Waits until there may be a change or the lease is due for renewal.
    async fn rest(&mut self) -> Result<(), Error>;

    /// Gives the lease back, so that writers stop waiting for this node.
    async fn leave(&mut self);
}
