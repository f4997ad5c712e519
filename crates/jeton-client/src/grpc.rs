//! Connecting over gRPC.

use std::{fs, path::Path, time::Duration};

use tonic::transport::{Certificate, ClientTlsConfig, Endpoint};

use crate::ClientError;

/// Timeout for connecting. Without it, a host that drops packets would block a caller for minutes.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// Builds a gRPC endpoint, with TLS if the URL is `https`. Only the certificate authorities in the
/// PEM file `ca` are trusted.
///
/// # Errors
/// `Url` and `Authorities`. Nothing is connected yet.
pub fn endpoint(url: &str, ca: Option<&Path>) -> Result<Endpoint, ClientError> {
    let endpoint = Endpoint::from_shared(url.to_owned())
        .map_err(|_| ClientError::Url(url.to_owned()))?
        .connect_timeout(CONNECT_TIMEOUT);
    if !url.starts_with("https://") {
        return Ok(endpoint);
    }
    let mut tls = ClientTlsConfig::new();
    if let Some(path) = ca {
        let pem = fs::read(path);
        let pem = pem.map_err(|error| ClientError::Authorities(path.to_owned(), error.into()))?;
        tls = tls.ca_certificate(Certificate::from_pem(pem));
    }
    endpoint.tls_config(tls).map_err(|error| {
        let path = ca.unwrap_or(Path::new("the trusted authorities"));
        ClientError::Authorities(path.to_owned(), error.into())
    })
}
