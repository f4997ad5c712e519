//! gRPC endpoint of a node, for commands that call one.

use std::{fs, path::Path, time::Duration};

use anyhow::Context;
use tonic::transport::{Certificate, ClientTlsConfig, Endpoint};

/// Timeout for connecting. Without it, a host that drops packets would block a caller for minutes.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// Builds a gRPC endpoint, with TLS if the URL is `https`. Only the certificate authorities in the
/// PEM file `ca` are trusted.
pub(super) fn endpoint(url: &str, ca: Option<&Path>) -> anyhow::Result<Endpoint> {
    let endpoint = Endpoint::from_shared(url.to_owned())
        .with_context(|| format!("{url} is not a URL such as https://tokens.example.com:50051"))?
        .connect_timeout(CONNECT_TIMEOUT);
    if !url.starts_with("https://") {
        return Ok(endpoint);
    }
    let mut tls = ClientTlsConfig::new();
    if let Some(path) = ca {
        let pem = fs::read(path).with_context(|| format!("{} cannot be read", path.display()))?;
        tls = tls.ca_certificate(Certificate::from_pem(pem));
    }
    Ok(endpoint.tls_config(tls)?)
}
