//! TLS from PEM files, which are followed when they change, or self-signed for a start without any.

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

/// Both protocols on one port; the order is the server's preference.
const ALPN: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// How often the files are looked at. A certificate is renewed days before it expires; this is for
/// the person who waits for the new one to show.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// Why TLS cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read as PEM.
    #[error("{path} does not hold a PEM {what}")]
    Pem {
        /// The file.
        path: PathBuf,
        /// What was looked for.
        what: &'static str,
        /// What was found.
        #[source]
        source: rustls::pki_types::pem::Error,
    },
    /// The certificate and the key do not go together.
    #[error("the certificate and its key cannot be used")]
    Unusable(#[from] rustls::Error),
    /// No client certificate could ever be verified.
    #[error("the certificates for clients cannot be used")]
    ClientCa(#[from] VerifierBuilderError),
    /// The self-signed certificate cannot be made.
    #[error("the self-signed certificate cannot be made")]
    SelfSigned(#[from] rcgen::Error),
    /// The self-signed certificate cannot be kept.
    #[error("the self-signed certificate cannot be kept in {path}")]
    Keep {
        /// Where it was to be kept.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: io::Error,
    },
}

/// Where a certificate and its key are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PemFiles {
    /// The certificate chain.
    pub cert: PathBuf,
    /// The private key.
    pub key: PathBuf,
}

/// All that TLS is made from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// What the server shows.
    pub pem: PemFiles,
    /// Whose signature makes a client's certificate good; without it none is asked for.
    pub client_ca: Option<PathBuf>,
    /// Whether a client must show one.
    pub client_required: bool,
}

impl From<PemFiles> for TlsFiles {
    /// No certificate is asked for from clients.
    fn from(pem: PemFiles) -> Self {
        Self { pem, client_ca: None, client_required: false }
    }
}

/// What the listeners do TLS with. Each connection takes what is current when it begins.
#[derive(Debug)]
pub struct Tls {
    files: TlsFiles,
    /// Whole configurations are exchanged, not only certificates, so that a session which the old
    /// one began cannot be resumed past the new one's rules for clients.
    current: watch::Sender<Arc<ServerConfig>>,
    /// Of the files when they were read at the start.
    stamp: Stamp,
}

/// What shows that files have changed: when each was written, and its length.
type Stamp = Vec<Option<(SystemTime, u64)>>;

impl Tls {
    /// Reads the files.
    pub fn load(files: impl Into<TlsFiles>) -> Result<Self, TlsError> {
        let files = files.into();
        // Before they are read: what is written meanwhile then shows as a change.
        let stamp = files.stamp();
        let current = watch::Sender::new(Arc::new(files.read()?));
        Ok(Self { files, current, stamp })
    }

    pub(super) fn current(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.current.borrow())
    }

    /// Reads the files again whenever they have changed, and when `asked` comes, for as long as
    /// this is polled. Files that cannot be used leave the old ones in force, and are said so once.
    /// They are looked at instead of having the system tell, because what the system tells of a
    /// file behind symbolic links, as in a mounted secret of Kubernetes, differs with the mount.
    pub async fn follow_files(self: Arc<Self>, mut asked: Signal) {
        let mut seen = self.stamp.clone();
        loop {
            let is_asked = tokio::select! {
                _ = asked.recv() => true,
                () = sleep(LOOK_EVERY) => false,
            };
            let (tls, last) = (Arc::clone(&self), seen.clone());
            // A file on a network may take its time.
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
                tracing::info!(cert = %self.files.pem.cert.display(), "read the certificate again");
            }
            Err(error) => {
                let error: &dyn std::error::Error = &error;
                tracing::error!(
                    error,
                    "the new certificate cannot be used: the old one stays in force"
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

/// Reads a file of at least one certificate.
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
