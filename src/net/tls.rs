//! TLS from PEM files, which are reloaded when they change, or from a self-signed certificate.

mod files;
mod handshakes;
mod self_signed;

use std::{
    io,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, SystemTime},
};

use rustls::{CertificateError, ServerConfig, server::VerifierBuilderError};
use tokio::{signal::unix::Signal, sync::watch, time::sleep};

use self::files::Stamp;
pub(super) use self::handshakes::FailedHandshakes;
pub use self::{
    files::{PemFiles, TlsFiles},
    self_signed::self_signed,
};

/// Interval at which the files are checked for changes. Certificates are renewed days before they
/// expire; the interval is short for an operator who waits for the new one to be served.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// Reason why TLS cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("the {what} {path} cannot be read")]
    Read {
        /// Path of the file.
        path: PathBuf,
        /// The expected content, such as `certificate`.
        what: &'static str,
        /// Error of the operating system.
        #[source]
        source: io::Error,
    },
    /// A file holds no PEM, or nothing of the expected kind.
    #[error("{path} does not hold a PEM {what}")]
    Pem {
        /// Path of the file.
        path: PathBuf,
        /// The expected PEM item, such as `certificate`.
        what: &'static str,
        /// Error of parsing the file.
        #[source]
        source: rustls::pki_types::pem::Error,
    },
    /// No revocation list is of an authority whose certificates it should revoke, so every client
    /// certificate would be refused.
    #[error(
        "none of the revocation lists in {crl} is of an authority in {authorities}: give \
         --tls-client-crl a list that one of these authorities has issued"
    )]
    ForeignList {
        /// File of the revocation lists.
        crl: PathBuf,
        /// File of the authorities.
        authorities: PathBuf,
    },
    /// The file of the private key cannot be read, or other users have access to it.
    #[error("the private key {path} cannot be used")]
    Key {
        /// Path of the file.
        path: PathBuf,
        /// Error of the operating system, or what to do.
        #[source]
        source: io::Error,
    },
    /// The certificate and its key do not match, or one of them is invalid.
    #[error("the certificate and its key cannot be used")]
    Unusable(#[from] rustls::Error),
    /// The CA certificates or the revocation lists cannot verify any client certificate.
    #[error("the CA certificates or the revocation lists for clients cannot be used: {files}")]
    ClientCa {
        /// The files, for people.
        files: String,
        /// What is wrong with them.
        #[source]
        source: VerifierBuilderError,
    },
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

/// Where a self-signed certificate is, and the clock by which it ends.
#[derive(Debug, Clone)]
pub struct SelfSigned {
    /// Data directory of the certificate.
    pub data_dir: PathBuf,
    /// Returns the time of this machine.
    pub now: fn() -> SystemTime,
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
    /// Whether the log says already that the current revocation lists have expired.
    has_told_expired: AtomicBool,
}

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
        Ok(Self { files, current, stamp, has_told_expired: AtomicBool::new(false) })
    }

    pub(super) fn current(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.current.borrow())
    }

    /// Reloads the files when they change and when the signal `asked` arrives, for as long as this
    /// future is polled. Files that cannot be used leave the old configuration in force, and are
    /// logged once. The files are polled, because the file notifications of the system differ from
    /// mount to mount for a file behind symbolic links, as in a mounted Kubernetes secret. A
    /// self-signed certificate is made again before it ends.
    pub async fn follow_files(self: Arc<Self>, mut asked: Signal, self_signed: Option<SelfSigned>) {
        let mut seen = self.stamp.clone();
        loop {
            let is_asked = tokio::select! {
                Some(()) = asked.recv() => true,
                () = sleep(LOOK_EVERY) => false,
            };
            if let Some(SelfSigned { data_dir, now }) = &self_signed {
                self_signed::renew(data_dir, now()).await;
            }
            let (tls, last) = (Arc::clone(&self), seen.clone());
            // A file on a network file system may be slow.
            let looked = tokio::task::spawn_blocking(move || {
                let stamp = tls.files.stamp();
                if is_asked || stamp != last {
                    tls.reload(&tls.files.changed(&last, &stamp));
                }
                stamp
            });
            seen = looked.await.unwrap_or(seen);
        }
    }

    /// Logs, once for each list, that client certificates are refused because the revocation list
    /// has expired. Any other failure of a handshake concerns only its peer.
    pub(super) fn note_failed_handshake(&self, error: &io::Error) {
        use CertificateError::{ExpiredRevocationList, ExpiredRevocationListContext};
        let cause = error.get_ref().and_then(|error| error.downcast_ref::<rustls::Error>());
        if let Some(rustls::Error::InvalidCertificate(
            ExpiredRevocationList | ExpiredRevocationListContext { .. },
        )) = cause
            && !self.has_told_expired.swap(true, Ordering::Relaxed)
        {
            tracing::error!(
                file = ?self.files.client_crl,
                "the certificate revocation list has expired: clients with a certificate are \
                 refused until there is a new list"
            );
        }
    }

    /// Reads the files again. `changed` names those that are different.
    fn reload(&self, changed: &str) {
        match self.files.read() {
            Ok(config) => {
                self.has_told_expired.store(false, Ordering::Relaxed);
                self.current.send_replace(Arc::new(config));
                tracing::info!(changed, "reloaded the files of TLS");
            }
            Err(error) => {
                let error: &dyn std::error::Error = &error;
                tracing::error!(
                    error,
                    changed,
                    "cannot use the files of TLS: what was loaded before stays in force"
                );
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

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
