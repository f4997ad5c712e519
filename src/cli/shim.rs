//! `jeton shim`: runs the HTTP shim alone, in front of a node elsewhere.

use std::{path::PathBuf, sync::Arc};

use anyhow::{Context, ensure};
use clap::Args;
use jeton_client::{Identity, endpoint, endpoint_as};
use tonic::transport::Endpoint;

use super::{links, node, shutdown::Signals, start_log};
use crate::{
    config::ShimConfig,
    data_dir,
    domain::OsRandom,
    node::{Shim as Running, ShimOptions},
};

#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  jeton shim --upstream http://127.0.0.1:50051 --http-addr 127.0.0.1:8081")]
pub(super) struct Shim {
    /// Node to forward requests to, as http://host:port or https://host:port
    #[arg(long, value_name = "URL", env = "JETON_UPSTREAM")]
    upstream: String,

    /// Certificate authorities to trust for the upstream, PEM
    #[arg(long, value_name = "FILE", env = "JETON_UPSTREAM_CA")]
    upstream_ca: Option<PathBuf>,

    /// Client certificate to present to the upstream, PEM; the node trusts this shim to name the
    /// source of a request if the certificate has a name of its --trusted-proxy
    #[arg(long, value_name = "FILE", env = "JETON_UPSTREAM_CERT", requires = "upstream_key")]
    upstream_cert: Option<PathBuf>,

    /// Private key of the client certificate, PEM
    #[arg(long, value_name = "FILE", env = "JETON_UPSTREAM_KEY", requires = "upstream_cert")]
    upstream_key: Option<PathBuf>,

    #[command(flatten)]
    config: ShimConfig,
}

impl Shim {
    pub(super) async fn run(self, strange: &[String]) -> anyhow::Result<()> {
        let ShimConfig { http, tls, links, proxies, directory, .. } = &self.config;
        let ShimConfig { connections, requests, shutdown, log, .. } = &self.config;
        let _telemetry = start_log(*links, log, strange)?;
        links::check_url(*links, "--upstream", &self.upstream)?;
        links::check_issuer(*links, http, tls)?;
        proxies.check(tls)?;
        let endpoint = self.endpoint()?;
        let mut signals = Signals::of_service().context("cannot listen for signals")?;
        // The connection is made for the first request, so node and shim may start in any order.
        let shim = Running::start(ShimOptions {
            upstream: endpoint.connect_lazy(),
            http_addr: http.http_addr,
            probe_addr: http.probe_addr,
            random: Arc::new(OsRandom),
            proxies: proxies.clone(),
            tls: node::tls(tls, directory, &[http.http_addr]).await?,
            issuer: http.issuer.clone(),
            limits: node::limits(connections, requests, shutdown, 1, 0, 0),
            workers: node::workers(connections),
        })
        .await?;
        let (http, probes) = (shim.http_addr(), shim.probe_addr());
        tracing::info!(%http, %probes, upstream = self.upstream, "serving");
        signals.next().await;
        tracing::info!("draining");
        signals.end_at_next();
        shim.drain().await;
        Ok(())
    }
    /// The node behind this shim, with the client certificate to present there.
    fn endpoint(&self) -> anyhow::Result<Endpoint> {
        ensure!(
            self.upstream.contains("://") || self.upstream.starts_with("unix:"),
            "--upstream must be a URL, such as https://localhost:50051"
        );
        let ca = self.upstream_ca.as_deref();
        let Some((cert, key)) = self.upstream_cert.as_deref().zip(self.upstream_key.as_deref())
        else {
            return Ok(endpoint(&self.upstream, ca)?);
        };
        ensure!(
            self.upstream.starts_with("https://"),
            "--upstream-cert requires an https:// --upstream: a certificate is presented over TLS \
             only"
        );
        // Refuses a key that others may read.
        data_dir::read_private(key).with_context(|| format!("--upstream-key {}", key.display()))?;
        Ok(endpoint_as(&self.upstream, ca, Identity { cert, key })?)
    }
}
