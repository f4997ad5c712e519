//! From a configuration to the parts of a node.

use std::{net::SocketAddr, num::NonZero, sync::Arc, thread, time::Duration};

use anyhow::{Context, ensure};
use clap::Args;
use tokio::signal::unix::{SignalKind, signal};

use crate::{
    authority::{HashPoolOptions, MemoryOptions},
    config::{Config, DatabaseUrl},
    data_dir,
    domain::{Actor, HashCost, HashCostCap, OsRandom, SystemClock},
    server::{
        Limits, Node, NodeOptions, fit_connections,
        tls::{self, PemFiles, Tls, TlsFiles},
    },
    store::{PostgresOptions, PostgresStore, SqliteStore, Store, Stores},
};

/// Which database a command works on.
#[derive(Debug, Clone, Args)]
pub(super) struct Database {
    /// Postgres, as <postgres://user:password@host/database?sslmode>=…; without it the embedded
    /// database in the data directory is used
    #[arg(long, value_name = "URL", env = "JETON_DATABASE_URL", hide_env_values = true)]
    database_url: Option<DatabaseUrl>,

    /// Directory of the embedded database  [default: jeton-data]
    #[arg(long, value_name = "DIR", env = "JETON_DATA_DIR")]
    data_dir: Option<std::path::PathBuf>,
}

impl Database {
    /// The configuration, with what these flags say above it.
    pub(super) fn config(self, file: Option<&std::path::PathBuf>) -> anyhow::Result<Config> {
        let mut config = Config::load(None, file)?.config;
        if let Some(data_dir) = self.data_dir {
            config.data_dir = data_dir;
        }
        if self.database_url.is_some() {
            config.database_url = self.database_url;
        }
        Ok(config)
    }
}

/// Who changes something, for the audit trail.
#[derive(Debug, Clone, Args)]
pub(super) struct Operator {
    /// Your name in the audit trail  [default: your user id and this host]
    #[arg(long, value_name = "NAME", env = "JETON_ACTOR", value_parser = Actor::operator)]
    actor: Option<Actor>,
}

impl Operator {
    /// Who was named, else the user of this process.
    pub(super) fn actor(self) -> Actor {
        self.actor.unwrap_or_else(this_user)
    }
}

/// The user of this process, by what the system knows of it and not by what its environment says.
pub(super) fn this_user() -> Actor {
    let (user, system) = (rustix::process::getuid(), rustix::system::uname());
    let host = system.nodename().to_string_lossy();
    let name = format!("uid={}@{host}", user.as_raw());
    Actor::operator(&name).unwrap_or_else(|_| Actor::node())
}

/// The ways of a node to its store. On Postgres each has a part of the connections; the embedded
/// database has no connections that could run out. Its data directory is made if it is needed.
pub(super) fn open_stores(config: &Config) -> anyhow::Result<Stores> {
    let Some(url) = &config.database_url else {
        make_directory(config)?;
        let store = open_store(config)?;
        return Ok(Stores { issue: Arc::clone(&store), inspect: store });
    };
    // Introspection is the more frequent of the two and holds a connection for less long.
    let inspect = (config.database_connections * 2 / 5).max(1);
    let issue = config.database_connections.saturating_sub(inspect).max(1);
    let options = postgres_options(config);
    let [issue, inspect] = PostgresStore::lanes(url.expose(), [issue, inspect], options)?;
    Ok(Stores { issue: Arc::new(issue), inspect: Arc::new(inspect) })
}

/// The store that the configuration names. Nothing is made and nobody is asked yet.
pub(super) fn open_store(config: &Config) -> anyhow::Result<Arc<dyn Store>> {
    let connections = config.database_connections;
    if let Some(url) = &config.database_url {
        let options = postgres_options(config);
        return Ok(Arc::new(PostgresStore::at(url.expose(), connections, options)?));
    }
    let wait = Duration::from_millis(config.database_wait_ms);
    Ok(Arc::new(SqliteStore::in_directory(&config.data_dir, connections, wait)))
}

const fn postgres_options(config: &Config) -> PostgresOptions {
    PostgresOptions {
        wait: Duration::from_millis(config.database_wait_ms),
        without_listening: config.no_listen,
    }
}

/// A store on Postgres, for what there is on no other database.
pub(super) fn open_postgres(config: &Config, url: &DatabaseUrl) -> anyhow::Result<PostgresStore> {
    let options = postgres_options(config);
    Ok(PostgresStore::at(url.expose(), config.database_connections, options)?)
}

/// The cost of the hashes that are made.
pub(super) const fn hash_cost(config: &Config) -> HashCost {
    HashCost { memory_kib: config.argon2_memory_kib, passes: config.argon2_passes, lanes: 1 }
}

/// The certificate that both listeners show, if any.
pub(super) async fn pem_files(config: &Config) -> anyhow::Result<Option<PemFiles>> {
    if config.tls_self_signed {
        make_directory(config)?;
        return Ok(Some(tls::self_signed(&config.data_dir).await?));
    }
    let files = config.tls_cert.clone().zip(config.tls_key.clone());
    Ok(files.map(|(cert, key)| PemFiles { cert, key }))
}

/// What both listeners do TLS with, if any. Files that somebody renews are followed; the
/// self-signed ones change only with a start, and SIGHUP keeps its meaning there: the terminal is
/// gone.
pub(super) async fn tls(
    config: &Config,
    served: &[SocketAddr],
) -> anyhow::Result<Option<Arc<Tls>>> {
    let Some(pem) = pem_files(config).await? else {
        // RFC 6749, section 3.2: TLS is a must wherever credentials travel. A warning would stand
        // in a log that nobody reads.
        let is_local = served.iter().all(|address| address.ip().is_loopback());
        ensure!(
            is_local || config.behind_tls_proxy,
            "secrets and tokens would travel in clear beyond this machine: set --tls-cert and \
             --tls-key, try --tls-self-signed, or say --behind-tls-proxy if a proxy does TLS"
        );
        return Ok(None);
    };
    let client_ca = config.tls_client_ca.clone();
    let files = TlsFiles { pem, client_ca, client_required: config.tls_client_required };
    let tls = Arc::new(Tls::load(files)?);
    if config.tls_cert.is_some() {
        let hangup = signal(SignalKind::hangup()).context("SIGHUP cannot be listened to")?;
        tokio::spawn(Arc::clone(&tls).follow_files(hangup));
    }
    Ok(Some(tls))
}

/// The limits of so many listeners, beside so many connections to a database.
pub(super) fn limits(config: &Config, listeners: u32, database_connections: u32) -> Limits {
    Limits {
        max_connections: fit_connections(config.max_connections, listeners, database_connections),
        max_requests: config.max_requests,
        handshake_timeout: Duration::from_millis(config.handshake_timeout_ms),
        idle_timeout: Duration::from_secs(config.idle_timeout_seconds),
        max_connection_age: Duration::from_secs(config.max_connection_age_seconds),
        ping_interval: Duration::from_secs(config.ping_interval_seconds),
        max_streams: config.max_streams,
        max_header_bytes: config.max_header_bytes,
        request_timeout: Duration::from_millis(config.request_timeout_ms),
        body_timeout: Duration::from_millis(config.body_timeout_ms),
        max_body_bytes: config.max_body_bytes,
        max_failures_per_second: config.max_failures_per_second,
        pre_stop: Duration::from_secs(config.pre_stop_seconds),
        drain_timeout: Duration::from_secs(config.drain_timeout_seconds),
    }
}

/// Starts the node that the configuration describes.
pub(super) async fn start(config: &Config, stores: Stores) -> anyhow::Result<Node> {
    let cost = hash_cost(config);
    let options = NodeOptions {
        stores,
        clock: Arc::new(SystemClock),
        random: Arc::new(OsRandom),
        grpc_addr: config.grpc_addr,
        http_addr: config.http_addr,
        admin_addr: config.admin_addr,
        tls: tls(config, &[config.grpc_addr, config.http_addr]).await?,
        issuer: config.issuer.clone(),
        migrate: !config.no_migrate,
        start_timeout: Duration::from_secs(config.start_timeout_seconds),
        hash_pool: HashPoolOptions {
            threads: config.hash_threads.map_or_else(spare_cores, usize::from),
            queue: config.hash_queue.into(),
            share: config.hash_queue_share.into(),
            patience: Duration::from_millis(config.hash_wait_ms),
            cost,
            cap: HashCostCap::DEFAULT,
        },
        verified_capacity: config.verified_secrets as usize,
        verified_lifetime: Duration::from_secs(config.verified_seconds),
        memory: MemoryOptions {
            clients: config.remembered_clients as usize,
            token_bytes: config.remembered_tokens_mib as usize * 1024 * 1024,
            lease: Duration::from_millis(config.lease_ms),
            lifetime: Duration::from_secs(config.cache_seconds),
        },
        audit_days: config.audit_days,
        limits: limits(config, 2, config.database_connections),
        workers: workers(config),
    };
    Ok(Node::start(options).await?)
}

/// Threads that serve connections.
pub(super) fn workers(config: &Config) -> usize {
    config.workers.map_or_else(cores, usize::from)
}

fn cores() -> usize {
    thread::available_parallelism().map_or(1, NonZero::get)
}

/// One core is left for everything that is not a hash.
fn spare_cores() -> usize {
    cores().saturating_sub(1).max(1)
}

/// The data directory, which is made if it is not there.
pub(super) fn make_directory(config: &Config) -> anyhow::Result<()> {
    data_dir::make(&config.data_dir)
        .context("the data directory cannot be made; name another with --data-dir")
}
