//! What a node is made of. The commands fill it from the configuration, and tests by hand.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use crate::{
    cache::CacheOptions,
    credentials::HashPoolOptions,
    domain::{Clock, Random},
    net::{Limits, tls::Tls},
    store::Stores,
};

/// What a node is made of.
pub struct NodeOptions {
    /// The ways to where everything is kept.
    pub stores: Stores,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// The randomness.
    pub random: Arc<dyn Random>,
    /// Where gRPC is served.
    pub grpc_addr: SocketAddr,
    /// Where HTTP is served.
    pub http_addr: SocketAddr,
    /// Where metrics and probes are served.
    pub probe_addr: Option<SocketAddr>,
    /// TLS for both, if any.
    pub tls: Option<Arc<Tls>>,
    /// The issuer; by default made from the HTTP address.
    pub issuer: Option<String>,
    /// Whether the schema is migrated, or only checked.
    pub migrate: bool,
    /// How long to wait for the database.
    pub start_timeout: Duration,
    /// The hash pool.
    pub hash_pool: HashPoolOptions,
    /// The most secrets that are remembered as verified.
    pub verified_capacity: usize,
    /// For how long they are; zero for not at all.
    pub verified_lifetime: Duration,
    /// How much is remembered of the database.
    pub cache: CacheOptions,
    /// For how many days the audit trail is kept.
    pub audit_days: u32,
    /// The limits of both listeners.
    pub limits: Limits,
    /// Threads that serve connections; with none they are served where the node was started.
    pub workers: usize,
}
