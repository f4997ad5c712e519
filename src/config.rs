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
#[expect(clippy::struct_excessive_bools, reason = "each is a knob of its own, set by its name")]
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
          value_parser = clap::value_parser!(u32).range(2..=1_000))]
    pub database_connections: u32,

    /// How long a request waits for a connection to the database, in milliseconds
    #[arg(long, value_name = "MS", env = "JETON_DATABASE_WAIT_MS", default_value_t = 2_000)]
    pub database_wait_ms: u64,

    /// Hear of changes by looking for them twenty times a second, and not by LISTEN: behind a
    /// pooler that pools by transaction, what is announced would reach the connections of others
    #[arg(long, value_name = "BOOL", env = "JETON_NO_LISTEN", default_value_t = false,
          num_args = 0..=1, default_missing_value = "true", action = clap::ArgAction::Set)]
    pub no_listen: bool,

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

    /// Where metrics (/metrics) and probes (/livez, /readyz) are served, in clear and to anybody:
    /// keep it to this machine or to a network of operators; by default 127.0.0.1:9090, or another
    /// port of this machine if that one is taken
    #[arg(long, value_name = "IP:PORT", env = "JETON_ADMIN_ADDR")]
    pub admin_addr: Option<SocketAddr>,

    /// The issuer, byte for byte as clients shall see it; by default made from the HTTP address
    #[arg(long, value_name = "URL", env = "JETON_ISSUER")]
    pub issuer: Option<String>,

    /// Certificate chain for both listeners, PEM; certificate and key are read again when they
    /// change, and at SIGHUP
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

    /// A proxy before this node does TLS: without it, and without a certificate, a node serves this
    /// machine alone
    #[arg(long, value_name = "BOOL", env = "JETON_BEHIND_TLS_PROXY", default_value_t = false,
          num_args = 0..=1, default_missing_value = "true", action = clap::ArgAction::Set)]
    pub behind_tls_proxy: bool,

    /// Certificates, PEM: a client that shows a certificate must show one that these have signed,
    /// or its handshake fails; who shows none is served as before. No identity is taken from it
    /// yet: clients authenticate with their secret either way
    #[arg(long, value_name = "FILE", env = "JETON_TLS_CLIENT_CA")]
    pub tls_client_ca: Option<PathBuf>,

    /// Refuse clients that show no certificate at their handshake
    #[arg(long, value_name = "BOOL", env = "JETON_TLS_CLIENT_REQUIRED", default_value_t = false,
          num_args = 0..=1, default_missing_value = "true", action = clap::ArgAction::Set)]
    pub tls_client_required: bool,

    /// Most open connections of each listener; further ones wait in the backlog. Lowered at start
    /// to what the descriptor limit of the process allows
    #[arg(long, value_name = "N", env = "JETON_MAX_CONNECTIONS", default_value_t = 1_024,
          value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub max_connections: u32,

    /// Most requests at once of each kind: issuing, and introspection with revocation; further
    /// ones are told to come back
    #[arg(long, value_name = "N", env = "JETON_MAX_REQUESTS", default_value_t = 1_024,
          value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub max_requests: u32,

    /// How long a connection may take for all that comes before its first request, in
    /// milliseconds: the TLS handshake and the preface of HTTP/2 or the first header of HTTP/1.1
    #[arg(long, value_name = "MS", env = "JETON_HANDSHAKE_TIMEOUT_MS", default_value_t = 5_000)]
    pub handshake_timeout_ms: u64,

    /// How long a connection may go without a new request, in seconds; on HTTP/2 up to twice as
    /// long. Longer than the minute of most balancers, so that it is they who end a connection
    #[arg(long, value_name = "S", env = "JETON_IDLE_TIMEOUT_SECONDS", default_value_t = 120)]
    pub idle_timeout_seconds: u64,

    /// How long a connection may last, in seconds, up to a tenth less so that not all end at once.
    /// Open requests finish. Shorter, and clients spread over new nodes sooner
    #[arg(
        long,
        value_name = "S",
        env = "JETON_MAX_CONNECTION_AGE_SECONDS",
        default_value_t = 86_400
    )]
    pub max_connection_age_seconds: u64,

    /// How often a peer on HTTP/2 is pinged, in seconds; it has half as long to answer
    #[arg(long, value_name = "S", env = "JETON_PING_INTERVAL_SECONDS", default_value_t = 20,
          value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub ping_interval_seconds: u64,

    /// Most requests at once on one connection of HTTP/2; further ones wait with the client
    #[arg(long, value_name = "N", env = "JETON_MAX_STREAMS", default_value_t = 100,
          value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub max_streams: u32,

    /// Largest header of a request, all fields and gRPC metadata together, in bytes
    #[arg(long, value_name = "BYTES", env = "JETON_MAX_HEADER_BYTES", default_value_t = 16_384,
          value_parser = clap::value_parser!(u32).range(8_192..=1_048_576))]
    pub max_header_bytes: u32,

    /// How long a request may take, in milliseconds; a caller may ask for less
    #[arg(long, value_name = "MS", env = "JETON_REQUEST_TIMEOUT_MS", default_value_t = 5_000)]
    pub request_timeout_ms: u64,

    /// How long the body of an HTTP request may take to arrive, in milliseconds
    #[arg(long, value_name = "MS", env = "JETON_BODY_TIMEOUT_MS", default_value_t = 10_000)]
    pub body_timeout_ms: u64,

    /// Largest body of an HTTP request, in bytes
    #[arg(long, value_name = "BYTES", env = "JETON_MAX_BODY_BYTES", default_value_t = 16_384)]
    pub max_body_bytes: usize,

    /// Requests of a source that may be turned away in a second, for a wrong secret or because
    /// there is no place; beyond it, those of its connections that fail are read more slowly. 0 for
    /// no limit, as behind a proxy or a shim, whose connections carry everybody's requests
    #[arg(long, value_name = "N", env = "JETON_MAX_FAILURES_PER_SECOND", default_value_t = 500,
          value_parser = clap::value_parser!(u32).range(0..=1_000_000))]
    pub max_failures_per_second: u32,

    /// How long to go on serving after health says `NOT_SERVING`, so that balancers notice, in
    /// seconds
    #[arg(long, value_name = "S", env = "JETON_PRE_STOP_SECONDS", default_value_t = 0)]
    pub pre_stop_seconds: u64,

    /// How long open requests may take to finish when the node or their connection ends, in seconds
    #[arg(long, value_name = "S", env = "JETON_DRAIN_TIMEOUT_SECONDS", default_value_t = 20)]
    pub drain_timeout_seconds: u64,

    /// Threads that serve connections; by default one for each core
    #[arg(long, value_name = "N", env = "JETON_WORKERS",
          value_parser = clap::value_parser!(u16).range(1..=256))]
    pub workers: Option<u16>,

    /// Threads that hash secrets; by default one less than there are cores, at least one
    #[arg(long, value_name = "N", env = "JETON_HASH_THREADS",
          value_parser = clap::value_parser!(u16).range(1..=256))]
    pub hash_threads: Option<u16>,

    /// Secrets that may wait for a hash, for issuing and as many for introspection with revocation;
    /// further ones are told to come back
    #[arg(long, value_name = "N", env = "JETON_HASH_QUEUE", default_value_t = 64,
          value_parser = clap::value_parser!(u16).range(1..=10_000))]
    pub hash_queue: u16,

    /// Of these, the most for one client; twice as many for one source address
    #[arg(long, value_name = "N", env = "JETON_HASH_QUEUE_SHARE", default_value_t = 16,
          value_parser = clap::value_parser!(u16).range(1..=10_000))]
    pub hash_queue_share: u16,

    /// How long a request may wait for a hash, in milliseconds
    #[arg(long, value_name = "MS", env = "JETON_HASH_WAIT_MS", default_value_t = 2_000)]
    pub hash_wait_ms: u64,

    /// How long a secret that was verified is not hashed again, in seconds; 0 for not at all
    #[arg(long, value_name = "S", env = "JETON_VERIFIED_SECONDS", default_value_t = 300,
          value_parser = clap::value_parser!(u64).range(0..=3_600))]
    pub verified_seconds: u64,

    /// Most secrets that are remembered as verified
    #[arg(long, value_name = "N", env = "JETON_VERIFIED_SECRETS", default_value_t = 10_000,
          value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    pub verified_secrets: u32,

    /// Most clients that are remembered, with one secret each; 0 for none
    #[arg(long, value_name = "N", env = "JETON_REMEMBERED_CLIENTS", default_value_t = 10_000,
          value_parser = clap::value_parser!(u32).range(0..=10_000_000))]
    pub remembered_clients: u32,

    /// Memory for tokens that are remembered, in MiB; 0 for none
    #[arg(long, value_name = "MIB", env = "JETON_REMEMBERED_TOKENS_MIB", default_value_t = 32,
          value_parser = clap::value_parser!(u32).range(0..=65_536))]
    pub remembered_tokens_mib: u32,

    /// How long a client or token stays in the cache after it was read, in seconds. A node hears
    /// of every change at once; this bounds how long it goes on if a change could not be announced,
    /// as where somebody disabled the triggers of a table
    #[arg(long, value_name = "S", env = "JETON_CACHE_SECONDS", default_value_t = 300,
          value_parser = clap::value_parser!(u64).range(1..=3_600))]
    pub cache_seconds: u64,

    /// How long what is remembered counts after the database was last heard, in milliseconds; and
    /// how long whoever revokes waits for a node that died. On Postgres only
    #[arg(long, value_name = "MS", env = "JETON_LEASE_MS", default_value_t = 2_000,
          value_parser = clap::value_parser!(u64).range(500..=4_000))]
    pub lease_ms: u64,

    /// How long rows of the audit trail are kept, in days
    #[arg(long, value_name = "DAYS", env = "JETON_AUDIT_DAYS", default_value_t = 90,
          value_parser = clap::value_parser!(u32).range(1..=36_500))]
    pub audit_days: u32,

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

    /// OpenTelemetry collector that is sent a span a request, as <http://host:4317>
    #[cfg(feature = "otel")]
    #[arg(long, value_name = "URL", env = "JETON_OTLP_ENDPOINT")]
    pub otlp_endpoint: Option<String>,
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
