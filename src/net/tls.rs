//! TLS from PEM files, which are reloaded when they change, or from a self-signed certificate.

mod self_signed;

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime},
};

use rustls::{
    RootCertStore, ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    server::{VerifierBuilderError, WebPkiClientVerifier},
};
use tokio::{signal::unix::Signal, sync::watch, time::sleep};

pub use self::self_signed::self_signed;

/// ALPN protocols, in the server's order of preference: both are served on one port.
const ALPN: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// Interval at which the files are checked for changes. Certificates are renewed days before they
/// expire; the interval is short for an operator who waits for the new one to be served.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// Reason why TLS cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read as PEM.
    #[error("{path} does not hold a PEM {what}")]
    Pem {
        /// Path of the file.
        path: PathBuf,
        /// The expected PEM item, such as `certificate`.
        what: &'static str,
        /// Error of reading or parsing the file.
        #[source]
        source: rustls::pki_types::pem::Error,
    },
    /// The certificate and its key do not match, or one of them is invalid.
    #[error("the certificate and its key cannot be used")]
    Unusable(#[from] rustls::Error),
    /// The CA certificates cannot verify any client certificate.
    #[error("the CA certificates for clients cannot be used")]
    ClientCa(#[from] VerifierBuilderError),
    /// The self-signed certificate cannot be created.
    #[error("the self-signed certificate cannot be created")]
    SelfSigned(#[from] rcgen::Error),
    /// The self-signed certificate cannot be stored.
    #[error("the self-signed certificate cannot be stored in {path}")]
    Keep {
        /// Folder of the certificate.
        path: PathBuf,
        /// Error of the operating system.
        #[source]
        source: io::Error,
    },
}

/// Paths of a certificate and its key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PemFiles {
    /// The certificate chain, in PEM.
    pub cert: PathBuf,
    /// The private key, in PEM.
    pub key: PathBuf,
}

/// Files and rules of a TLS configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// The server's certificate and key.
    pub pem: PemFiles,
    /// CA certificates that verify client certificates. `None`: clients are not asked for one.
    pub client_ca: Option<PathBuf>,
    /// Whether clients must present a certificate. Without `client_ca` it has no effect.
    pub client_required: bool,
}

impl From<PemFiles> for TlsFiles {
    /// Clients are not asked for a certificate.
    fn from(pem: PemFiles) -> Self {
        Self { pem, client_ca: None, client_required: false }
    }
}

/// TLS configuration of the listeners. Each connection uses the one that is current when it begins.
#[derive(Debug)]
pub struct Tls {
    files: TlsFiles,
    /// A reload replaces the whole configuration, not only the certificate, so that a session begun
    /// under the old one cannot be resumed past the new one's rules for clients.
    current: watch::Sender<Arc<ServerConfig>>,
    /// Stamp of the files when they were loaded at the start.
    stamp: Stamp,
}

/// Modification time and length of each file, to detect changes. `None` for an unreadable file.
type Stamp = Vec<Option<(SystemTime, u64)>>;

impl Tls {
    /// Reads the files.
    ///
    /// # Errors
    /// If a file cannot be read, or the certificate, its key or the CA certificates cannot be used.
    pub fn load(files: impl Into<TlsFiles>) -> Result<Self, TlsError> {
        let files = files.into();
        // Taken before the files are read, so that a write in between shows as a change.
        let stamp = files.stamp();
        let current = watch::Sender::new(Arc::new(files.read()?));
        Ok(Self { files, current, stamp })
    }

    pub(super) fn current(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.current.borrow())
    }

    /// Reloads the files when they change and when the signal `asked` arrives, for as long as this
    /// future is polled. Files that cannot be used leave the old configuration in force, and are
    /// logged once. The files are polled, because the file notifications of the system differ from
    /// mount to mount for a file behind symbolic links, as in a mounted Kubernetes secret.
    pub async fn follow_files(self: Arc<Self>, mut asked: Signal) {
        let mut seen = self.stamp.clone();
        loop {
            let is_asked = tokio::select! {
                _ = asked.recv() => true,
                () = sleep(LOOK_EVERY) => false,
            };
            let (tls, last) = (Arc::clone(&self), seen.clone());
            // A file on a network file system may be slow.
            let looked = tokio::task::spawn_blocking(move || {
                let stamp = tls.files.stamp();
                if is_asked || stamp != last {
                    tls.reload();
                }
                stamp
            });
            seen = looked.await.unwrap_or(seen);
        }
    }

    fn reload(&self) {
        match self.files.read() {
            Ok(config) => {
                self.current.send_replace(Arc::new(config));
                tracing::info!(cert = %self.files.pem.cert.display(), "reloaded the certificate");
            }
            Err(error) => {
                let error: &dyn std::error::Error = &error;
                tracing::error!(
                    error,
                    "cannot use the new certificate: the old one stays in force"
                );
            }
        }
    }
}

impl TlsFiles {
    fn stamp(&self) -> Stamp {
        [Some(&self.pem.cert), Some(&self.pem.key), self.client_ca.as_ref()]
            .into_iter()
            .flatten()
            .map(|path| {
                let metadata = fs::metadata(path).ok()?;
                Some((metadata.modified().ok()?, metadata.len()))
            })
            .collect()
    }

    fn read(&self) -> Result<ServerConfig, TlsError> {
        let chain = certificates(&self.pem.cert)?;
        let key = PrivateKeyDer::from_pem_file(&self.pem.key).map_err(|source| {
            let path = self.pem.key.clone();
            TlsError::Pem { path, what: "private key", source }
        })?;
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()?;
        let builder = match &self.client_ca {
            None => builder.with_no_client_auth(),
            Some(path) => {
                let mut roots = RootCertStore::empty();
                for certificate in certificates(path)? {
                    roots.add(certificate)?;
                }
                let verifier =
                    WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
                let verifier =
                    if self.client_required { verifier } else { verifier.allow_unauthenticated() };
                builder.with_client_cert_verifier(verifier.build()?)
            }
        };
        let mut config = builder.with_single_cert(chain, key)?;
        config.alpn_protocols = ALPN.map(<[u8]>::to_vec).into();
        Ok(config)
    }
}

/// Reads a PEM file that holds at least one certificate.
fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .and_then(|chain| {
            if chain.is_empty() {
                Err(rustls::pki_types::pem::Error::NoItemsFound)
            } else {
                Ok(chain)
            }
        })
        .map_err(|source| TlsError::Pem { path: path.to_owned(), what: "certificate", source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_no_certificate_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let cert = directory.path().join("cert.pem");
        fs::write(&cert, "not a certificate").unwrap();
        let files = PemFiles { key: cert.clone(), cert };
        let error = Tls::load(files).unwrap_err().to_string();
        assert!(error.contains("cert.pem") && error.contains("certificate"), "{error}");
    }
}
