//! Node that a command calls.

use std::{
    error::Error,
    io::{self, ErrorKind},
    path::PathBuf,
};

use clap::Args;
use jeton_client::endpoint;
use rustls::{AlertDescription, CertificateError};
use tonic::{
    Code, Status,
    transport::{Channel, Endpoint},
};

use super::{exit::Exit, links};
use crate::{config::Links, domain::Timestamp};

/// How tonic begins the message of an answer that is not one of gRPC.
const NOT_GRPC: [&str; 2] = [
    "grpc-status header missing",
    "protocol error: received message with invalid compression flag",
];

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
        let url = &self.url;
        if !url.contains("://") && !url.starts_with("unix:") {
            return Err(Exit::Usage.error(format!(
                "--server {url} is not a URL: write https://{url}, or http://{url} for a node \
                 without TLS"
            )));
        }
        links::check_url(links, "--server", url)?;
        Ok(endpoint(url, self.tls_ca.as_deref())?)
    }

    /// Connects to the node.
    ///
    /// # Errors
    /// Those of `endpoint`, and if the node cannot be reached; the message says what to change.
    pub(super) async fn connect(&self, links: Links) -> anyhow::Result<Channel> {
        let connected = self.endpoint(links)?.connect().await;
        connected.map_err(|error| {
            // To try again does not help against a certificate or a wrong protocol.
            if find::<rustls::Error>(&error).is_some() {
                return Exit::Failed.error(self.why_and_cause(&error));
            }
            let why = self.why(&error);
            anyhow::Error::new(error).context(why)
        })
    }

    /// Error for a failed call: the message of the status, or what broke the connection.
    pub(super) fn explain(&self, status: &Status) -> anyhow::Error {
        let is_of_grpc = !NOT_GRPC.iter().any(|start| status.message().starts_with(start));
        if !is_of_grpc && status.code() != Code::Unavailable {
            return anyhow::anyhow!(
                "{} does not speak gRPC; is the port that of --grpc-addr, 50051 by default, and \
                 not that of --http-addr or --probe-addr? ({})",
                self.url,
                status.message()
            );
        }
        match status.source() {
            Some(error) => anyhow::anyhow!("{}", self.why_and_cause(error)),
            None if status.message().is_empty() => anyhow::anyhow!("{}", status.code()),
            None => anyhow::anyhow!("{}", status.message()),
        }
    }

    /// The same as `why`, with the cause in the words of what failed.
    fn why_and_cause(&self, error: &(dyn Error + 'static)) -> String {
        let mut cause = error;
        while let Some(next) = cause.source() {
            cause = next;
        }
        format!("{}: {cause}", self.why(error))
    }

    /// Why there is no connection, and what to change.
    fn why(&self, error: &(dyn Error + 'static)) -> String {
        let url = &self.url;
        if let Some(error) = find::<rustls::Error>(error) {
            return why_no_tls(url, error);
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

/// Why there is no connection over TLS, and what to change.
fn why_no_tls(url: &str, error: &rustls::Error) -> String {
    match error {
        rustls::Error::InvalidCertificate(refused) => why_untrusted(url, refused),
        rustls::Error::InvalidMessage(_) => {
            format!("{url} does not speak TLS; is the URL https instead of http?")
        }
        rustls::Error::AlertReceived(AlertDescription::NoApplicationProtocol) => format!(
            "{url} does not speak HTTP/2, which gRPC needs; is the port that of --grpc-addr?"
        ),
        rustls::Error::AlertReceived(AlertDescription::CertificateRequired) => format!(
            "{url} demands a client certificate (--tls-client-required), and commands have none: \
             call a node that does not"
        ),
        _ => format!("there is no connection over TLS to {url}"),
    }
}

/// Why a certificate is not trusted, and what to change.
fn why_untrusted(url: &str, refused: &CertificateError) -> String {
    match refused {
        CertificateError::UnknownIssuer | CertificateError::BadSignature => format!(
            "the authority that signed the certificate of {url} is not trusted; name its file with \
             --tls-ca (for a self-signed node DATA_DIR/tls/cert.pem)"
        ),
        CertificateError::ExpiredContext { not_after, .. } => {
            let seconds = i64::try_from(not_after.as_secs()).unwrap_or(i64::MAX);
            let end = Timestamp::from_unix_micros(seconds.saturating_mul(1_000_000));
            format!(
                "the certificate of {url} expired at {end}; replace the file of --tls-cert on the \
                 node, or set the clock of this machine"
            )
        }
        CertificateError::NotValidYetContext { .. } => format!(
            "the certificate of {url} is not valid yet; set the clock of this machine, or that of \
             the machine that made it"
        ),
        CertificateError::NotValidForNameContext { expected, presented } => {
            let held: Vec<_> = presented.iter().map(|name| plain_name(name)).collect();
            let held = if held.is_empty() { "no name".to_owned() } else { held.join(", ") };
            format!(
                "the certificate of {url} is for {held} and not for {}; call the node by a name \
                 that it holds, or give the node one for this name (--tls-cert, or \
                 --tls-self-signed-name)",
                expected.to_str()
            )
        }
        _ => format!("the certificate of {url} cannot be used"),
    }
}

/// A name in a certificate without its kind, which rustls writes around it: `DnsName("a.test")`.
fn plain_name(name: &str) -> &str {
    let within = name.split_once('(').and_then(|(_, rest)| rest.strip_suffix(')'));
    within.unwrap_or(name).trim_matches('"')
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
