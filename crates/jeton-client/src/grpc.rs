//! Connecting over gRPC.

use std::{fs, path::Path, time::Duration};

use tonic::transport::{Certificate, ClientTlsConfig, Endpoint};

use crate::{BoxError, ClientError};

/// Timeout for connecting. Without it, a host that drops packets would block a caller for minutes.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// Files of a client certificate and its key, PEM.
#[derive(Debug, Clone, Copy)]
pub struct Identity<'a> {
    /// The certificate chain.
    pub cert: &'a Path,
    /// The private key.
    pub key: &'a Path,
}

/// Builds a gRPC endpoint, with TLS if the URL is `https`. Only the certificate authorities in the
/// PEM file `ca` are trusted.
///
/// # Errors
/// `Url` and `Authorities`. Nothing is connected yet.
pub fn endpoint(url: &str, ca: Option<&Path>) -> Result<Endpoint, ClientError> {
    let endpoint = plain(url)?;
    if !url.starts_with("https://") {
        return Ok(endpoint);
    }
    with_tls(endpoint, ca, trusting(ca)?)
}

/// The same endpoint, which presents a client certificate.
///
/// # Errors
/// `Url` also for an `http` URL, over which no certificate can be presented; `Authorities` and
/// `Identity`.
pub fn endpoint_as(
    url: &str,
    ca: Option<&Path>,
    identity: Identity<'_>,
) -> Result<Endpoint, ClientError> {
    let endpoint = plain(url)?;
    if !url.starts_with("https://") {
        return Err(ClientError::Url(url.to_owned()));
    }
    let tls = trusting(ca)?;
    let endpoint = with_tls(endpoint, ca, tls.clone())?;
    let unusable = |path: &Path, error: BoxError| ClientError::Identity(path.to_owned(), error);
    let read = |path: &Path| fs::read(path).map_err(|error| unusable(path, error.into()));
    let pem = tonic::transport::Identity::from_pem(read(identity.cert)?, read(identity.key)?);
    let tls = endpoint.tls_config(tls.identity(pem));
    tls.map_err(|error| unusable(identity.cert, error.into()))
}

fn plain(url: &str) -> Result<Endpoint, ClientError> {
    let endpoint = Endpoint::from_shared(url.to_owned());
    let endpoint = endpoint.map_err(|_| ClientError::Url(url.to_owned()))?;
    Ok(endpoint.connect_timeout(CONNECT_TIMEOUT))
}

fn trusting(ca: Option<&Path>) -> Result<ClientTlsConfig, ClientError> {
    let tls = ClientTlsConfig::new();
    let Some(path) = ca else { return Ok(tls) };
    let pem = fs::read(path);
    let pem = pem.map_err(|error| ClientError::Authorities(path.to_owned(), error.into()))?;
    Ok(tls.ca_certificate(Certificate::from_pem(pem)))
}

fn with_tls(
    endpoint: Endpoint,
    ca: Option<&Path>,
    tls: ClientTlsConfig,
) -> Result<Endpoint, ClientError> {
    endpoint.tls_config(tls).map_err(|error| {
        let path = ca.unwrap_or(Path::new("the trusted authorities"));
        ClientError::Authorities(path.to_owned(), error.into())
    })
}
