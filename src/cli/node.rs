//! From a configuration to the parts of a node.

use std::{net::SocketAddr, num::NonZero, sync::Arc, thread};

use anyhow::{Context, ensure};
use clap::Args;
use tokio::signal::unix::{SignalKind, signal};

use crate::{
    cache::CacheOptions,
    config::{
        self, Config, Connections, Count, DataDir, Database, DatabaseUrl, Requests, Shutdown,
    },
    credentials::HashPoolOptions,
    data_dir,
    domain::{Actor, HashCostCap, OsRandom, SystemClock},
    net::{
        Limits, fit_connections,
        tls::{self, PemFiles, Tls, TlsFiles},
    },
    node::{Node, NodeOptions},
    store::{PostgresOptions, PostgresStore, SqliteStore, Store, Stores},
};

/// Who changes something, for the audit trail.
#[derive(Debug, Clone, Args)]
pub(super) struct Operator {
    /// Your name in the audit trail [default: your user id and this host]
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
    let database = &config.database;
    let Some(url) = &database.database_url else {
        make_directory(&database.directory)?;
        let store = open_store(database)?;
        return Ok(Stores { issue: Arc::clone(&store), inspect: store });
    };
    // Introspection is the more frequent of the two and holds a connection for less long.
    let connections = database.database_connections.get();
    let inspect = (connections * 2 / 5).max(1);
    let issue = connections.saturating_sub(inspect).max(1);
    let options = PostgresOptions {
        without_listening: config.upkeep.no_listen,
        ..PostgresOptions::waiting(database.database_wait_ms.duration())
    };
    let [issue, inspect] = PostgresStore::lanes(url.expose(), [issue, inspect], options)?;
    Ok(Stores { issue: Arc::new(issue), inspect: Arc::new(inspect) })
}

/// The store that the flags name. Nothing is made and nobody is asked yet.
pub(super) fn open_store(database: &Database) -> anyhow::Result<Arc<dyn Store>> {
    Ok(match &database.database_url {
        Some(url) => Arc::new(open_postgres(database, url)?),
        None => Arc::new(open_sqlite(database)),
    })
}

/// A store on Postgres, for what there is on no other database.
pub(super) fn open_postgres(
    database: &Database,
    url: &DatabaseUrl,
) -> anyhow::Result<PostgresStore> {
    let options = PostgresOptions::waiting(database.database_wait_ms.duration());
    Ok(PostgresStore::at(url.expose(), database.database_connections.get(), options)?)
}

/// The store in the data directory.
pub(super) fn open_sqlite(database: &Database) -> SqliteStore {
    let (connections, wait) = (database.database_connections, database.database_wait_ms);
    let directory = &database.directory.data_dir;
    SqliteStore::in_directory(directory, connections.get(), wait.duration())
}

/// The certificate that both listeners show, if any.
pub(super) async fn pem_files(
    config: &config::Tls,
    directory: &DataDir,
) -> anyhow::Result<Option<PemFiles>> {
    if config.tls_self_signed {
        make_directory(directory)?;
        return Ok(Some(tls::self_signed(&directory.data_dir).await?));
    }
    let files = config.tls_cert.clone().zip(config.tls_key.clone());
    Ok(files.map(|(cert, key)| PemFiles { cert, key }))
}

/// What both listeners do TLS with, if any. Files that somebody renews are followed; the
/// self-signed ones change only with a start, and SIGHUP keeps its meaning there: the terminal is
/// gone.
pub(super) async fn tls(
    config: &config::Tls,
    directory: &DataDir,
    served: &[SocketAddr],
) -> anyhow::Result<Option<Arc<Tls>>> {
    config.check()?;
    let Some(pem) = pem_files(config, directory).await? else {
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
pub(super) fn limits(
    connections: &Connections,
    requests: &Requests,
    shutdown: &Shutdown,
    listeners: u32,
    database_connections: u32,
) -> Limits {
    let limits = Limits::new(connections, requests, shutdown);
    let max_connections = fit_connections(limits.max_connections, listeners, database_connections);
    Limits { max_connections, ..limits }
}

/// Starts the node that the configuration describes.
pub(super) async fn start(config: &Config, stores: Stores) -> anyhow::Result<Node> {
    let Config { http, database, upkeep, hash_pool, cache, connections, .. } = config;
    let served = [config.grpc.grpc_addr, http.http_addr];
    let database_connections = database.database_connections.get();
    let options = NodeOptions {
        stores,
        clock: Arc::new(SystemClock),
        random: Arc::new(OsRandom),
        grpc_addr: config.grpc.grpc_addr,
        http_addr: http.http_addr,
        probe_addr: http.probe_addr,
        tls: tls(&config.tls, &database.directory, &served).await?,
        issuer: http.issuer.clone(),
        migrate: !upkeep.no_migrate,
        start_timeout: upkeep.start_timeout_seconds.duration(),
        hash_pool: HashPoolOptions {
            threads: hash_pool.hash_threads.map_or_else(spare_cores, Count::size),
            queue: hash_pool.hash_queue.size(),
            share: hash_pool.hash_queue_share.size(),
            patience: hash_pool.hash_wait_ms.duration(),
            cost: config.argon2.cost(),
            cap: HashCostCap::DEFAULT,
        },
        verified_capacity: cache.verified_secrets.size(),
        verified_lifetime: cache.verified_seconds.duration(),
        cache: CacheOptions {
            clients: cache.cache_clients.size(),
            token_bytes: cache.cache_tokens_mib.size() * 1024 * 1024,
            lease: cache.lease_ms.duration(),
            lifetime: cache.cache_seconds.duration(),
        },
        audit_days: upkeep.audit_days.get(),
        limits: limits(connections, &config.requests, &config.shutdown, 2, database_connections),
        workers: workers(connections),
    };
    Ok(Node::start(options).await?)
}

/// Threads that serve connections.
pub(super) fn workers(connections: &Connections) -> usize {
    connections.workers.map_or_else(cores, Count::size)
}

fn cores() -> usize {
    thread::available_parallelism().map_or(1, NonZero::get)
}

/// One core is left for everything that is not a hash.
fn spare_cores() -> usize {
    cores().saturating_sub(1).max(1)
}

/// The data directory, which is made if it is not there.
pub(super) fn make_directory(directory: &DataDir) -> anyhow::Result<()> {
    data_dir::make(&directory.data_dir)
        .context("the data directory cannot be made; name another with --data-dir")
}
