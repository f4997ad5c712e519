//! Settings of a node. This module is the only place that defines their meaning, unit, range, flag,
//! environment variable and default.
//!
//! A value comes from the flag, else from the environment, else from the file, else from the
//! default. Settings are grouped, and each command takes the groups that it uses. The file is TOML
//! with the names of the fields as keys, and one file serves all commands. A key that no command
//! knows is refused, because a misspelt limit would otherwise silently not apply.

mod cache;
mod database;
mod database_url;
mod environment;
mod given;
mod hashing;
mod layers;
mod limits;
mod links;
mod listeners;
mod log;
mod new_secrets;
mod password_file;
mod proxies;
mod quantity;
mod quota;
mod tls;

use clap::Args;

pub(crate) use self::environment::nearest;
pub use self::{
    cache::Cache,
    database::{DataDir, Database, Upkeep},
    database_url::DatabaseUrl,
    environment::{
        CLIENT_SECRET, SecretVariable, TOKEN, name_variable, terminal_columns, unknown_variables,
        without_color, without_empty_variables,
    },
    given::{Given, GivenBy},
    hashing::{Argon2, HashPool},
    layers::{File, Setting},
    limits::{Connections, Requests, Shutdown},
    links::Links,
    listeners::{ControlAddress, ControlListener, GrpcListener, HttpListeners, RunningProbes},
    log::{Log, LogFormat},
    new_secrets::{LifetimeDays, NEVER, NewSecrets, NoLifetime, SecretLifetime},
    proxies::{Networks, Proxies, TrustedProxies},
    quantity::{
        Bytes, Count, Days, Kibibytes, Mebibytes, Millis, OutOfRange, Quantity, Seconds, Unit,
    },
    quota::{Quota, QuotaMode},
    tls::{CertificateNames, Tls},
};

/// Configuration of a node: `jeton serve` and `jeton dev`.
#[derive(Debug, Clone, Args)]
pub struct Config {
    /// gRPC listener.
    #[command(flatten)]
    pub grpc: GrpcListener,
    /// HTTP and probe listeners.
    #[command(flatten)]
    pub http: HttpListeners,
    /// Control listener.
    #[command(flatten)]
    pub control: ControlListener,
    /// TLS of the gRPC and HTTP listeners.
    #[command(flatten)]
    pub tls: Tls,
    /// Proxies in front of the gRPC and HTTP listeners.
    #[command(flatten)]
    pub proxies: Proxies,
    /// Location of the database and limits of its connections.
    #[command(flatten)]
    pub database: Database,
    /// Change feed, startup and retention.
    #[command(flatten)]
    pub upkeep: Upkeep,
    /// Limits of connections.
    #[command(flatten)]
    pub connections: Connections,
    /// Limits of requests.
    #[command(flatten)]
    pub requests: Requests,
    /// Limits on issuing tokens to one client.
    #[command(flatten)]
    pub quota: Quota,
    /// How the node stops.
    #[command(flatten)]
    pub shutdown: Shutdown,
    /// Policy for new client secrets.
    #[command(flatten)]
    pub new_secrets: NewSecrets,
    /// Cost of one hash.
    #[command(flatten)]
    pub argon2: Argon2,
    /// Hash pool and hash queue.
    #[command(flatten)]
    pub hash_pool: HashPool,
    /// Caches of verified secrets, clients and tokens.
    #[command(flatten)]
    pub cache: Cache,
    /// The log.
    #[command(flatten)]
    pub log: Log,
}

/// Configuration of `jeton shim`. A shim has no database and no gRPC listener, and neither hashes
/// nor caches.
#[derive(Debug, Clone, Args)]
pub struct ShimConfig {
    /// HTTP and probe listeners.
    #[command(flatten)]
    pub http: HttpListeners,
    /// TLS of the HTTP listener.
    #[command(flatten)]
    pub tls: Tls,
    /// Proxies in front of the HTTP listener.
    #[command(flatten)]
    pub proxies: Proxies,
    /// Connections to other machines.
    #[command(flatten)]
    pub links: Links,
    /// Directory of the self-signed certificate.
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

/// Implements `Default` from the defaults declared on the flags, without reading the environment or
/// a file.
macro_rules! defaults {
    ($($group:ty),+ $(,)?) => {$(
        impl Default for $group {
            fn default() -> Self {
                File::default().config().expect("each setting has a default within its range")
            }
        }
    )+};
}

defaults!(Config, ShimConfig, Database, Argon2, Connections, Proxies, Requests, Shutdown);
