//! Node that a command calls.

use std::{
    error::Error,
    io::{self, ErrorKind},
    path::PathBuf,
};

use clap::Args;
use jeton_client::endpoint;
use rustls::CertificateError;
use tonic::{
    Status,
    transport::{Channel, Endpoint},
};

use super::{exit::Exit, links};
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

    /// Connects to the node.
    ///
    /// # Errors
    /// Those of `endpoint`, and if the node cannot be reached; the message says what to change.
    pub(super) async fn connect(&self, links: Links) -> anyhow::Result<Channel> {
        let connected = self.endpoint(links)?.connect().await;
        connected.map_err(|error| {
            let why = self.why(&error);
            // To try again does not help against a certificate or a wrong protocol.
            if find::<rustls::Error>(&error).is_some() {
                return Exit::Failed.error(why);
            }
            anyhow::Error::new(error).context(why)
        })
    }

    /// Error for a failed call: the message of the status, or what broke the connection.
    pub(super) fn explain(&self, status: &Status) -> anyhow::Error {
        match status.source() {
            Some(error) => anyhow::anyhow!("{}", self.why(error)),
            None if status.message().is_empty() => anyhow::anyhow!("{}", status.code()),
            None => anyhow::anyhow!("{}", status.message()),
        }
    }

    /// Why there is no connection, and what to change.
    fn why(&self, error: &(dyn Error + 'static)) -> String {
        let url = &self.url;
        match find::<rustls::Error>(error) {
            Some(rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer)) => {
                return format!(
                    "the authority that signed the certificate of {url} is not trusted; name its \
                     file with --tls-ca (for a self-signed node DATA_DIR/tls/cert.pem)"
                );
            }
            Some(rustls::Error::InvalidMessage(_)) => {
                return format!("{url} does not speak TLS; is the URL https instead of http?");
            }
            Some(_) => return format!("there is no connection over TLS to {url}"),
            None => (),
        }
        let is_refused =
            find::<io::Error>(error).is_some_and(|e| e.kind() == ErrorKind::ConnectionRefused);
        if url.starts_with("http://") && !is_refused {
            format!("the connection to {url} broke; is the URL http instead of https?")
        } else {
            format!("no node answers at {url}")
        }
    }
}

/// The first error of this type among an error and its sources. The error within an `io::Error` is
/// not one of its sources.
fn find<'a, E: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a E> {
    let mut next = Some(error);
    while let Some(error) = next {
        let within = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        let within = within.and_then(|within| (within as &(dyn Error + 'static)).downcast_ref());
        if let Some(found) = error.downcast_ref::<E>().or(within) {
            return Some(found);
        }
        next = error.source();
    }
    None
}
