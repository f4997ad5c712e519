//! `jeton shim`

use std::{path::PathBuf, sync::Arc};

use anyhow::Context;
use clap::{ArgMatches, Args};
use tonic::transport::Endpoint;

use super::{endpoint::endpoint, node, shutdown::Signals};
use crate::{config::Config, domain::OsRandom, server, telemetry};

/// Knobs of a node that has a database, which a shim alone has not.
const NOT_OF_A_SHIM: [&str; 12] = [
    "database_url",
    "database_connections",
    "database_wait_ms",
    "start_timeout_seconds",
    "no_migrate",
    "grpc_addr",
    "hash_threads",
    "hash_queue",
    "hash_wait_ms",
    "argon2_memory_kib",
    "argon2_passes",
    "pre_stop_seconds",
];

#[derive(Debug, Args)]
#[command(
    mut_args(|arg| {
        let foreign = NOT_OF_A_SHIM.contains(&arg.get_id().as_str());
        arg.hide(foreign)
    }),
    after_help = "\
Example:
  jeton shim --upstream http://127.0.0.1:50051 --http-addr 127.0.0.1:8081"
)]
pub(super) struct Shim {
    /// The node to ask, as http://host:port or https://host:port
    #[arg(long, value_name = "URL", env = "JETON_UPSTREAM")]
    upstream: String,

    /// Certificates to trust for the upstream, PEM
    #[arg(long, value_name = "FILE", env = "JETON_UPSTREAM_CA")]
    upstream_ca: Option<PathBuf>,

    #[command(flatten)]
    config: Config,
}

impl Shim {
    pub(super) async fn run(
        self,
        matches: &ArgMatches,
        file: Option<&PathBuf>,
    ) -> anyhow::Result<()> {
        let config = Config::load(Some(matches), file)?.config;
        let _telemetry = telemetry::start(&config)?;
        let endpoint: Endpoint = endpoint(&self.upstream, self.upstream_ca.as_deref())?;
        let mut signals = Signals::listen().context("signals cannot be listened to")?;
        // Connected when the first request comes, so that node and shim may start in any order.
        let shim = server::Shim::start(server::ShimOptions {
            upstream: endpoint.connect_lazy(),
            http_addr: config.http_addr,
            admin_addr: config.admin_addr,
            random: Arc::new(OsRandom),
            tls: node::tls(&config, &[config.http_addr]).await?,
            issuer: config.issuer.clone(),
            limits: node::limits(&config, 1, 0),
            workers: node::workers(&config),
        })
        .await?;
        let (http, admin) = (shim.http_addr(), shim.admin_addr());
        tracing::info!(%http, %admin, upstream = self.upstream, "serving");
        signals.next().await;
        tracing::info!("draining");
        signals.end_at_next();
        shim.drain().await;
        Ok(())
    }
}
