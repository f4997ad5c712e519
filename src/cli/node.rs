//! Builds a node and its parts from a configuration.

use std::{net::SocketAddr, num::NonZero, sync::Arc, thread};

use anyhow::Context;
use clap::Args;
use tokio::signal::unix::{SignalKind, signal};

use super::{control, links};
use crate::{
    authority::QuotaOptions,
    cache::CacheOptions,
    config::{
        self, Config, Connections, Count, DataDir, Database, DatabaseUrl, Requests, Shutdown,
    },
    credentials::HashPoolOptions,
    data_dir::{self, Worker},
    domain::{Actor, Clock, HashCostCap, OsRandom, Quota, QuotaLimit, QuotaMode, SystemClock},
    net::{
        Limits, check_memory, fit_connections,
        tls::{self, PemFiles, SelfSigned, Tls, TlsFiles},
    },
    node::{Node, NodeOptions},
    store::{PostgresOptions, PostgresStore, SqliteStore, Store, Stores},
};

/// Actor that the audit trail records for the changes of a command.
#[derive(Debug, Clone, Args)]
pub(super) struct Operator {
    /// Your name in the audit trail [default: your user id and the name of this host]
    #[arg(long, value_name = "NAME", env = "JETON_ACTOR", value_parser = Actor::operator)]
    actor: Option<Actor>,
}

impl Operator {
    /// The actor given by `--actor`, else the user of this process.
    pub(super) fn actor(self) -> Actor {
        self.actor.unwrap_or_else(this_user)
    }
}

/// The user of this process as an actor, `uid=1000@host`. User id and host come from the kernel and
/// not from the environment, which a user can set.
pub(super) fn this_user() -> Actor {
    let (user, system) = (rustix::process::getuid(), rustix::system::uname());
    let host = system.nodename().to_string_lossy();
    let name = format!("uid={}@{host}", user.as_raw());
    Actor::operator(&name).unwrap_or_else(|_| Actor::node())
}

/// Opens the stores of both lanes. On Postgres each lane gets a share of the connections. On the
/// embedded database, whose connections cannot run out, both lanes share one store, and its data
/// directory is created if it is missing.
pub(super) fn open_stores(config: &Config) -> anyhow::Result<Stores> {
    let database = &config.database;
    let Some(url) = database.url()? else {
        make_directory(&database.directory, Worker::Service)?;
        let store = open_store(database)?;
        return Ok(Stores { issue: Arc::clone(&store), inspect: store });
    };
    links::check_database(database, &url)?;
    // The inspect lane gets the smaller share: introspection is more frequent than issuing, but
    // holds a connection for a shorter time.
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

/// The store that the flags name. This neither creates the database nor connects to it.
pub(super) fn open_store(database: &Database) -> anyhow::Result<Arc<dyn Store>> {
    if let Some(url) = database.url()? {
        return Ok(Arc::new(open_postgres(database, &url)?));
    }
    check_directory(&database.directory, Worker::Command)?;
    Ok(Arc::new(open_sqlite(database)))
}

/// The store on Postgres, for operations that only Postgres has.
pub(super) fn open_postgres(
    database: &Database,
    url: &DatabaseUrl,
) -> anyhow::Result<PostgresStore> {
    links::check_database(database, url)?;
    let options = PostgresOptions::waiting(database.database_wait_ms.duration());
    Ok(PostgresStore::at(url.expose(), database.database_connections.get(), options)?)
}

/// The embedded store in the data directory.
pub(super) fn open_sqlite(database: &Database) -> SqliteStore {
    let (connections, wait) = (database.database_connections, database.database_wait_ms);
    let directory = &database.directory.data_dir;
    SqliteStore::in_directory(directory, connections.get(), wait.duration())
}

/// Files of the certificate that the listeners present and of its key; `None` without TLS.
pub(super) async fn pem_files(
    config: &config::Tls,
    directory: &DataDir,
) -> anyhow::Result<Option<PemFiles>> {
    if config.tls_self_signed {
        make_directory(directory, Worker::Service)?;
        let SelfSigned { data_dir, names, now } = self_signed(config, directory);
        return Ok(Some(tls::self_signed(&data_dir, &names, now()).await?));
    }
    let files = config.tls_cert.clone().zip(config.tls_key.clone());
    Ok(files.map(|(cert, key)| PemFiles { cert, key }))
}

/// TLS of the listeners; `None` for plain text. The files are reloaded when they change, and on
/// SIGHUP.
pub(super) async fn tls(
    config: &config::Tls,
    directory: &DataDir,
    served: &[SocketAddr],
) -> anyhow::Result<Option<Arc<Tls>>> {
    config.check()?;
    let Some(pem) = pem_files(config, directory).await? else {
        // RFC 6749, section 3.2, requires TLS wherever credentials are sent.
        let is_local = served.iter().all(|address| address.ip().is_loopback());
        links::ensure_protected(
            is_local || config.behind_tls_proxy,
            "a listener",
            "set --tls-cert and --tls-key, try --tls-self-signed, or set --behind-tls-proxy if a \
             proxy terminates TLS",
        )?;
        let mut hangup = signal(SignalKind::hangup()).context("cannot listen for SIGHUP")?;
        tokio::spawn(async move {
            while hangup.recv().await.is_some() {
                tracing::info!("got SIGHUP; there are no files to reload without TLS");
            }
        });
        return Ok(None);
    };
    let files = TlsFiles {
        pem,
        client_ca: config.tls_client_ca.clone(),
        client_crl: config.tls_client_crl.clone(),
        client_required: config.tls_client_required,
    };
    let tls = Arc::new(Tls::load(files)?);
    let is_self_signed = config.tls_self_signed;
    let hangup = signal(SignalKind::hangup()).context("cannot listen for SIGHUP")?;
    let self_signed = is_self_signed.then(|| self_signed(config, directory));
    tokio::spawn(Arc::clone(&tls).follow_files(hangup, self_signed));
    Ok(Some(tls))
}

/// The self-signed certificate of the data directory.
fn self_signed(config: &config::Tls, directory: &DataDir) -> SelfSigned {
    let names = config.tls_self_signed_name.as_ref();
    SelfSigned {
        data_dir: directory.data_dir.clone(),
        names: names.map(|names| names.as_slice().to_vec()).unwrap_or_default(),
        now: || SystemClock.now().into(),
    }
}

/// Limits of the listeners. `max_connections` is lowered if the file descriptors of the process do
/// not suffice for this number of `listeners` and `database_connections`. Warns if its memory does
/// not suffice for them beside `others` bytes.
pub(super) fn limits(
    connections: &Connections,
    requests: &Requests,
    shutdown: &Shutdown,
    listeners: u32,
    database_connections: u32,
    others: u64,
) -> Limits {
    let mut limits = Limits::new(connections, requests, shutdown);
    limits.max_connections =
        fit_connections(limits.max_connections, listeners, database_connections);
    check_memory(&limits, listeners, others);
    limits
}

/// Memory in bytes that hashes and cached tokens take at most. Other caches are small beside them.
fn hashes_and_caches(config: &Config, hash_threads: usize) -> u64 {
    let hash = u64::from(config.argon2.argon2_memory_kib.get()) * 1024;
    hash * hash_threads as u64 + config.cache.cache_tokens_mib.size() as u64 * 1024 * 1024
}

/// Starts the node that the configuration describes.
pub(super) async fn start(config: &Config, stores: Stores) -> anyhow::Result<Node> {
    links::check_issuer(config.database.links, &config.http, &config.tls)?;
    let Config { http, database, upkeep, hash_pool, cache, connections, .. } = config;
    let served = [Some(config.grpc.grpc_addr), Some(http.http_addr), control::address(config)];
    let served: Vec<_> = served.into_iter().flatten().collect();
    config.proxies.check(&config.tls)?;
    let database_connections = database.database_connections.get() + control::CONNECTIONS;
    let hash_threads = hash_pool.hash_threads.map_or_else(spare_cores, Count::size);
    let (requests, shutdown) = (&config.requests, &config.shutdown);
    let others = hashes_and_caches(config, hash_threads);
    let tls = tls(&config.tls, &database.directory, &served).await?;
    let options = NodeOptions {
        control: control::options(config, &stores)?,
        stores,
        clock: Arc::new(SystemClock),
        random: Arc::new(OsRandom),
        grpc_addr: config.grpc.grpc_addr,
        http_addr: http.http_addr,
        probe_addr: http.probe_addr,
        tls,
        proxies: config.proxies.clone(),
        issuer: http.issuer.clone(),
        migrate: !upkeep.no_migrate,
        start_timeout: upkeep.start_timeout_seconds.duration(),
        hash_pool: HashPoolOptions {
            threads: hash_threads,
            queue: hash_pool.hash_queue.size(),
            share: hash_pool.hash_queue_share.size(),
            patience: hash_pool.hash_wait_ms.duration(),
            cost: config.argon2.cost()?,
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
        quota: quota(&config.quota)?,
        audit_days: upkeep.audit_days.get(),
        secret_use_interval: upkeep.secret_use_seconds.duration(),
        limits: limits(connections, requests, shutdown, 2, database_connections, others),
        workers: workers(connections),
    };
    Ok(Node::start(options).await?)
}

/// Limits on issuing tokens to one client. Their range is that of the settings.
fn quota(config: &config::Quota) -> anyhow::Result<QuotaOptions> {
    Ok(QuotaOptions {
        mode: match config.quota {
            config::QuotaMode::Off => QuotaMode::Off,
            config::QuotaMode::Monitor => QuotaMode::Monitor,
            config::QuotaMode::Enforce => QuotaMode::Enforce,
        },
        defaults: Quota {
            tokens_per_second: QuotaLimit::new(config.client_tokens_per_second.get().into())?,
            burst: QuotaLimit::new(config.client_token_burst.get().into())?,
            live_tokens: QuotaLimit::new(config.client_live_tokens.get().into())?,
        },
    })
}

/// Number of threads that serve connections; by default one per core.
pub(super) fn workers(connections: &Connections) -> usize {
    connections.workers.map_or_else(cores, Count::size)
}

fn cores() -> usize {
    thread::available_parallelism().map_or(1, NonZero::get)
}

/// Default size of the hash pool: all cores but one, which is left for all other work.
fn spare_cores() -> usize {
    cores().saturating_sub(1).max(1)
}

/// Creates the data directory if it is missing, and checks it if it is there.
pub(super) fn make_directory(directory: &DataDir, worker: Worker) -> anyhow::Result<()> {
    data_dir::make(&directory.data_dir)
        .context("the data directory cannot be created; name another with --data-dir")?;
    check_directory(directory, worker)
}

/// Checks that no other user can change the data directory, if it is there.
pub(super) fn check_directory(directory: &DataDir, worker: Worker) -> anyhow::Result<()> {
    data_dir::check(&directory.data_dir, worker)
        .context("the data directory cannot be trusted; name another with --data-dir")
}
