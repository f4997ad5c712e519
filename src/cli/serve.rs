//! `jeton serve`

use std::path::PathBuf;

use anyhow::Context;
use clap::{ArgMatches, Args};

use super::{node, shutdown::Signals, target};
use crate::{config::Config, server::Node, telemetry};

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  jeton serve --tls-self-signed
  jeton serve --database-url postgres://jeton@localhost/jeton --tls-self-signed")]
pub(super) struct Serve {
    #[command(flatten)]
    config: Config,
}

impl Serve {
    pub(super) async fn run(
        self,
        matches: &ArgMatches,
        file: Option<&PathBuf>,
    ) -> anyhow::Result<()> {
        let config = Config::load(Some(matches), file)?.config;
        let _telemetry = telemetry::start(&config)?;
        let mut signals = Signals::listen().context("signals cannot be listened to")?;
        let stores = node::open_stores(&config)?;
        let node = tokio::select! {
            node = node::start(&config, stores) => node?,
            () = signals.next() => return Ok(()),
        };
        announce(&node, &config);
        signals.next().await;
        finish(node, signals).await;
        Ok(())
    }
}

fn announce(node: &Node, config: &Config) {
    let tls = config.tls_self_signed || config.tls_cert.is_some();
    let (grpc, http, admin) = (node.grpc_addr(), node.http_addr(), node.admin_addr());
    let (issuer, database) = (node.issuer(), target::place(config));
    tracing::info!(%grpc, %http, %admin, tls, issuer, database, "serving");
}

/// Drains a node after a first signal; a second one ends it at once.
pub(super) async fn finish(node: Node, signals: Signals) {
    tracing::info!("draining");
    signals.end_at_next();
    if node.drain().await {
        tracing::info!("stopped");
    } else {
        tracing::warn!("stopped at the deadline, before all open requests had finished");
    }
}
