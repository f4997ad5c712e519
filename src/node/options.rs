//! Options of a node. The commands fill them from the configuration, tests by hand.

use std::{net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use crate::{
    authority::QuotaOptions,
    cache::CacheOptions,
    config::Proxies,
    credentials::HashPoolOptions,
    domain::{Clock, HashCost, Random},
    net::{Limits, tls::Tls},
    store::{Store, Stores},
};

/// Options of a node.
pub struct NodeOptions {
    /// The stores of both lanes.
    pub stores: Stores,
    /// Clock of the node.
    pub clock: Arc<dyn Clock>,
    /// Source of randomness.
    pub random: Arc<dyn Random>,
    /// Address of the gRPC listener; port 0 is any free port.
    pub grpc_addr: SocketAddr,
    /// Address of the HTTP listener; port 0 is any free port.
    pub http_addr: SocketAddr,
    /// The control listener, if there is to be one.
    pub control: Option<ControlOptions>,
    /// Address of the probe listener. `None`: 127.0.0.1:9090, or any free port if that is taken.
    pub probe_addr: Option<SocketAddr>,
    /// TLS of the gRPC and HTTP listeners. `None`: plain text.
    pub tls: Option<Arc<Tls>>,
    /// Proxies in front of the gRPC and HTTP listeners.
    pub proxies: Proxies,
    /// Issuer identifier. `None`: derived from the HTTP address.
    pub issuer: Option<String>,
    /// Whether the start migrates the schema, or only checks it.
    pub migrate: bool,
    /// How long a start waits for the database.
    pub start_timeout: Duration,
    /// Options of the hash pool.
    pub hash_pool: HashPoolOptions,
    /// Maximum entries in the cache of verified secrets.
    pub verified_capacity: usize,
    /// Lifetime of these entries; zero turns that cache off.
    pub verified_lifetime: Duration,
    /// Options of the client and token cache.
    pub cache: CacheOptions,
    /// Limits on issuing tokens to a client.
    pub quota: QuotaOptions,
    /// Retention of the audit trail, in days.
    pub audit_days: u32,
    /// How often the uses of secrets that were counted are written down.
    pub secret_use_interval: Duration,
    /// Limits of the gRPC and HTTP listeners.
    pub limits: Limits,
    /// Number of worker threads. 0: connections are served on the runtime that starts the node.
    pub workers: usize,
}

/// Options of the control listener.
pub struct ControlOptions {
    /// Where it listens.
    pub place: ControlPlace,
    /// Store for administration, with connections of its own where that matters.
    pub store: Arc<dyn Store>,
    /// Cost of the hashes of new secrets.
    pub hash_cost: HashCost,
    /// Lifetime of new secrets unless the caller names one; `None` if they do not expire.
    pub secret_lifetime: Option<Duration>,
}

/// Where a control listener listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ControlPlace {
    /// A TCP address, with the TLS of the other listeners.
    Address(SocketAddr),
    /// A Unix socket that an operator asked for.
    Socket(PathBuf),
    /// The Unix socket that there is by default. If it cannot be served, the node goes on without.
    DefaultSocket(PathBuf),
}
