//! Every knob of a node: its meaning, unit, range, flag, variable and default are defined here,
//! once.
//!
//! A value comes from the flag, else from the environment, else from the file, else from the
//! default. The knobs stand in groups, and each command takes the groups that it honours. The file
//! is TOML with the names of the fields as keys, and one file serves all commands; a key that none
//! of them knows is refused, because a misspelt limit would otherwise be no limit.

mod cache;
mod database;
mod database_url;
mod environment;
mod hashing;
mod layers;
mod limits;
mod listeners;
mod log;
mod quantity;
mod tls;

use clap::Args;

pub use self::{
    cache::Cache,
    database::{DataDir, Database, Upkeep},
    database_url::DatabaseUrl,
    environment::{
        CLIENT_SECRET, SecretVariable, TOKEN, name_variable, unknown_variables,
        without_empty_variables,
    },
    hashing::{Argon2, HashPool},
    layers::{File, Knob},
    limits::{Connections, Requests, Shutdown},
    listeners::{GrpcListener, HttpListeners},
    log::{Log, LogFormat},
    quantity::{
        Bytes, Count, Days, Kibibytes, Mebibytes, Millis, OutOfRange, Quantity, Seconds, Unit,
    },
    tls::Tls,
};

/// The configuration of a node.
#[derive(Debug, Clone, Args)]
pub struct Config {
    /// The listener for gRPC.
    #[command(flatten)]
    pub grpc: GrpcListener,
    /// The other listeners.
    #[command(flatten)]
    pub http: HttpListeners,
    /// TLS of the listeners for gRPC and HTTP.
    #[command(flatten)]
    pub tls: Tls,
    /// Which database.
    #[command(flatten)]
    pub database: Database,
    /// What is done with it.
    #[command(flatten)]
    pub upkeep: Upkeep,
    /// Limits of connections.
    #[command(flatten)]
    pub connections: Connections,
    /// Limits of requests.
    #[command(flatten)]
    pub requests: Requests,
    /// How the node stops.
    #[command(flatten)]
    pub shutdown: Shutdown,
    /// The cost of a hash.
    #[command(flatten)]
    pub argon2: Argon2,
    /// Who hashes.
    #[command(flatten)]
    pub hash_pool: HashPool,
    /// The caches.
    #[command(flatten)]
    pub cache: Cache,
    /// The log.
    #[command(flatten)]
    pub log: Log,
}

/// The configuration of a shim alone: it has neither database nor gRPC, hashes and caches nothing.
#[derive(Debug, Clone, Args)]
pub struct ShimConfig {
    /// The listeners.
    #[command(flatten)]
    pub http: HttpListeners,
    /// TLS of the listener for HTTP.
    #[command(flatten)]
    pub tls: Tls,
    /// Where the self-signed certificate is kept.
    #[command(flatten)]
    pub directory: DataDir,
    /// Limits of connections.
    #[command(flatten)]
    pub connections: Connections,
    /// Limits of requests.
    #[command(flatten)]
    pub requests: Requests,
    /// How the shim stops.
    #[command(flatten)]
    pub shutdown: Shutdown,
    /// The log.
    #[command(flatten)]
    pub log: Log,
}

/// The defaults stand beside the flags. Neither the environment nor a file is asked for them.
macro_rules! defaults {
    ($($group:ty),+ $(,)?) => {$(
        impl Default for $group {
            fn default() -> Self {
                File::default().config().expect("each knob has a default within its range")
            }
        }
    )+};
}

defaults!(Config, ShimConfig, Database, Argon2, Connections, Requests, Shutdown);
