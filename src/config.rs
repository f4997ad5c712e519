//! Every knob of a node: its meaning, unit, flag, environment name and default stand here, once.
//!
//! A value comes from the flag, else from the environment, else from the file, else from the
//! default. The file is TOML with the names of the fields as keys; a key that it does not know is
//! refused, because a misspelt limit would otherwise be no limit.

mod database_url;
mod load;

use std::{net::SocketAddr, path::PathBuf};

use clap::Args;
use serde::{Deserialize, Serialize};

pub use self::{database_url::DatabaseUrl, load::Loaded};

/// The configuration of a node.
#[derive(Debug, Clone, Args, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Postgres to keep everything in, as <postgres://user:password@host/database?sslmode>=…;
    /// without it the embedded database in the data directory is used
    #[arg(long, value_name = "URL", env = "JETON_DATABASE_URL", hide_env_values = true)]
    #[serde(skip_serializing)]
    pub database_url: Option<DatabaseUrl>,

    /// Directory of the embedded database and of the self-signed certificate
    #[arg(long, value_name = "DIR", env = "JETON_DATA_DIR", default_value = "jeton-data")]
    pub data_dir: PathBuf,

    /// Most connections to the database
    #[arg(long, value_name = "N", env = "JETON_DATABASE_CONNECTIONS", default_value_t = 10,
          value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pub database_connections: u32,

    /// How long a request waits for a connection to the database, in milliseconds
    #[arg(long, value_name = "MS", env = "JETON_DATABASE_WAIT_MS", default_value_t = 2_000)]
    pub database_wait_ms: u64,

    /// How long a start waits for the database, in seconds
    #[arg(long, value_name = "S", env = "JETON_START_TIMEOUT_SECONDS", default_value_t = 30)]
    pub start_timeout_seconds: u64,

    /// Do not migrate the schema at start; refuse to start unless it is up to date
    #[arg(long, value_name = "BOOL", env = "JETON_NO_MIGRATE", default_value_t = false,
          num_args = 0..=1, default_missing_value = "true", action = clap::ArgAction::Set)]
    pub no_migrate: bool,

    /// Where gRPC is served
    #[arg(
        long,
        value_name = "IP:PORT",
        env = "JETON_GRPC_ADDR",
        default_value = "127.0.0.1:50051"
    )]
    pub grpc_addr: SocketAddr,

    /// Where HTTP is served
    #[arg(long, value_name = "IP:PORT", env = "JETON_HTTP_ADDR", default_value = "127.0.0.1:8080")]
    pub http_addr: SocketAddr,

    /// The issuer, byte for byte as clients shall see it; by default made from the HTTP address
    #[arg(long, value_name = "URL", env = "JETON_ISSUER")]
    pub issuer: Option<String>,

    /// Certificate chain for both listeners, PEM
    #[arg(long, value_name = "FILE", env = "JETON_TLS_CERT", requires = "tls_key")]
    pub tls_cert: Option<PathBuf>,

    /// Private key of the certificate, PEM
    #[arg(long, value_name = "FILE", env = "JETON_TLS_KEY", requires = "tls_cert")]
    pub tls_key: Option<PathBuf>,

    /// Serve TLS with a self-signed certificate, made at the first start and kept in the data
    /// directory
    #[arg(long, value_name = "BOOL", env = "JETON_TLS_SELF_SIGNED", default_value_t = false,
          num_args = 0..=1, default_missing_value = "true", action = clap::ArgAction::Set,
          conflicts_with = "tls_cert")]
    pub tls_self_signed: bool,

    /// Most open connections of each listener; further ones wait in the backlog
    #[arg(long, value_name = "N", env = "JETON_MAX_CONNECTIONS", default_value_t = 1_024,
          value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub max_connections: u32,

    /// How long a connection may take for its TLS handshake and its first bytes, in milliseconds
    #[arg(long, value_name = "MS", env = "JETON_HANDSHAKE_TIMEOUT_MS", default_value_t = 5_000)]
    pub handshake_timeout_ms: u64,

    /// How long a request may take, in milliseconds; a caller may ask for less
    #[arg(long, value_name = "MS", env = "JETON_REQUEST_TIMEOUT_MS", default_value_t = 5_000)]
    pub request_timeout_ms: u64,

    /// How long the body of an HTTP request may take to arrive, in milliseconds
    #[arg(long, value_name = "MS", env = "JETON_BODY_TIMEOUT_MS", default_value_t = 10_000)]
    pub body_timeout_ms: u64,

    /// Largest body of an HTTP request, in bytes
    #[arg(long, value_name = "BYTES", env = "JETON_MAX_BODY_BYTES", default_value_t = 16_384)]
    pub max_body_bytes: usize,

    /// How long to go on serving after health says `NOT_SERVING`, so that balancers notice, in
    /// seconds
    #[arg(long, value_name = "S", env = "JETON_PRE_STOP_SECONDS", default_value_t = 0)]
    pub pre_stop_seconds: u64,

    /// How long open requests may take to finish at shutdown, in seconds
    #[arg(long, value_name = "S", env = "JETON_DRAIN_TIMEOUT_SECONDS", default_value_t = 20)]
    pub drain_timeout_seconds: u64,

    /// Threads that hash secrets; by default one less than there are cores, at least one
    #[arg(long, value_name = "N", env = "JETON_HASH_THREADS",
          value_parser = clap::value_parser!(u16).range(1..=256))]
    pub hash_threads: Option<u16>,

    /// Requests that may wait for a hash; further ones are told to come back
    #[arg(long, value_name = "N", env = "JETON_HASH_QUEUE", default_value_t = 64,
          value_parser = clap::value_parser!(u16).range(1..=10_000))]
    pub hash_queue: u16,

    /// How long a request may wait for a hash, in milliseconds
    #[arg(long, value_name = "MS", env = "JETON_HASH_WAIT_MS", default_value_t = 2_000)]
    pub hash_wait_ms: u64,

    /// Memory of one argon2id hash, in KiB
    #[arg(long, value_name = "KIB", env = "JETON_ARGON2_MEMORY_KIB", default_value_t = 19_456,
          value_parser = clap::value_parser!(u32).range(7_168..=65_536))]
    pub argon2_memory_kib: u32,

    /// Passes of one argon2id hash
    #[arg(long, value_name = "N", env = "JETON_ARGON2_PASSES", default_value_t = 2,
          value_parser = clap::value_parser!(u32).range(1..=10))]
    pub argon2_passes: u32,

    /// What is logged, as a tracing filter such as info or jeton=debug
    #[arg(long, value_name = "FILTER", env = "JETON_LOG", default_value = "info")]
    pub log: String,

    /// How it is logged
    #[arg(long, value_name = "FORMAT", env = "JETON_LOG_FORMAT", default_value = "text")]
    pub log_format: LogFormat,
}

/// The form of a log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line, for machines.
    Json,
}
