//! Node that a command calls.

use std::path::PathBuf;

use clap::Args;
use jeton_client::endpoint;
use tonic::transport::Endpoint;

use super::links;
use crate::config::Links;

/// URL of the node, and the authorities to trust for it.
#[derive(Debug, Args)]
pub(super) struct Server {
    /// Node to call
    #[arg(
        id = "server",
        long = "server",
        value_name = "URL",
        env = "JETON_SERVER",
        default_value = "http://127.0.0.1:50051"
    )]
    pub(super) url: String,

    /// Certificate authorities to trust, PEM; for a self-signed node `DATA_DIR/tls/cert.pem`
    #[arg(long, value_name = "FILE", env = "JETON_TLS_CA")]
    pub(super) tls_ca: Option<PathBuf>,
}

impl Server {
    /// The node as an endpoint for gRPC. Nothing is connected yet.
    ///
    /// # Errors
    /// If the URL or the file of authorities cannot be used, or if the connection would not be
    /// protected.
    pub(super) fn endpoint(&self, links: Links) -> anyhow::Result<Endpoint> {
        links::check_url(links, "--server", &self.url)?;
        Ok(endpoint(&self.url, self.tls_ca.as_deref())?)
    }
}
