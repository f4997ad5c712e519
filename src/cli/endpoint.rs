//! The way to a node, for commands that call one.

use std::{fs, path::Path, time::Duration};

use anyhow::Context;
use tonic::transport::{Certificate, ClientTlsConfig, Endpoint};

/// A host that drops packets would otherwise hold a caller for minutes.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// A gRPC endpoint. TLS follows from the scheme of the URL.
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
