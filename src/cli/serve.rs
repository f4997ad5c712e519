//! `jeton serve`: runs a node until a signal drains it.

use anyhow::Context;
use clap::Args;

use super::{node, service_manager, shutdown::Signals, start_log, target};
use crate::{config::Config, node::Node};

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
    pub(super) async fn run(self, strange: &[String]) -> anyhow::Result<()> {
        let config = self.config;
        let _telemetry = start_log(config.database.links, &config.log, strange)?;
        let mut signals = Signals::of_service().context("cannot listen for signals")?;
        let stores = node::open_stores(&config)?;
        let node = tokio::select! {
            node = node::start(&config, stores) => node?,
            () = signals.next() => return Ok(()),
        };
        announce(&node, &config);
        service_manager::ready();
        signals.next().await;
        finish(node, signals).await;
        Ok(())
    }
}

fn announce(node: &Node, config: &Config) {
    let tls = config.tls.tls_self_signed || config.tls.tls_cert.is_some();
    let (grpc, http, probes) = (node.grpc_addr(), node.http_addr(), node.probe_addr());
    let (issuer, database) = (node.issuer(), target::place(&config.database));
    let control = node.control().unwrap_or("none");
    tracing::info!(%grpc, %http, control, %probes, tls, issuer, database, "serving");
}

/// Drains a node after the first signal. A second signal ends the process immediately.
pub(super) async fn finish(node: Node, signals: Signals) {
    tracing::info!("draining");
    service_manager::stopping();
    signals.end_at_next();
    if node.drain().await {
        tracing::info!("stopped");
    } else {
        tracing::warn!("stopped at the deadline, before all in-flight requests had finished");
    }
}
