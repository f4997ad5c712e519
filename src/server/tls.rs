//! TLS from PEM files, or self-signed for a start without any.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use rustls::{
    ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};

/// Both protocols on one port; the order is the server's preference.
const ALPN: [&[u8]; 2] = [b"h2", b"http/1.1"];

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

/// Reads a certificate chain and its key.
pub fn load(files: &PemFiles) -> Result<Arc<ServerConfig>, TlsError> {
    let pem = |path: &Path, what| {
        let path = path.to_owned();
        move |source| TlsError::Pem { path, what, source }
    };
    let chain = CertificateDer::pem_file_iter(&files.cert)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .and_then(|chain| {
            if chain.is_empty() {
                Err(rustls::pki_types::pem::Error::NoItemsFound)
            } else {
                Ok(chain)
            }
        })
        .map_err(pem(&files.cert, "certificate"))?;
    let key = PrivateKeyDer::from_pem_file(&files.key).map_err(pem(&files.key, "private key"))?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, key)?;
    config.alpn_protocols = ALPN.map(<[u8]>::to_vec).into();
    Ok(Arc::new(config))
}

/// The self-signed certificate of a data directory, made at the first call and kept.
pub fn self_signed(data_dir: &Path) -> Result<PemFiles, TlsError> {
    let directory = data_dir.join("tls");
    let files = PemFiles { cert: directory.join("cert.pem"), key: directory.join("key.pem") };
    if files.cert.exists() && files.key.exists() {
        return Ok(files);
    }
    let names = ["localhost", "127.0.0.1", "::1"].map(str::to_owned);
    let made = rcgen::generate_simple_self_signed(names)?;
    let keep = || {
        fs::create_dir_all(&directory)?;
        write_private(&files.key, &made.signing_key.serialize_pem())?;
        fs::write(&files.cert, made.cert.pem())
    };
    keep().map_err(|source| TlsError::Keep { path: directory.clone(), source })?;
    Ok(files)
}

#[cfg(unix)]
fn write_private(path: &Path, text: &str) -> io::Result<()> {
    use std::{io::Write, os::unix::fs::OpenOptionsExt};
    let mut options = fs::OpenOptions::new();
    options
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)?
        .write_all(text.as_bytes())
}

#[cfg(not(unix))]
fn write_private(path: &Path, text: &str) -> io::Result<()> {
    fs::write(path, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_self_signed_certificate_is_made_once_and_kept() {
        let directory = tempfile::tempdir().unwrap();
        let files = self_signed(directory.path()).unwrap();
        let first = fs::read(&files.cert).unwrap();
        assert_eq!(self_signed(directory.path()).unwrap(), files);
        assert_eq!(fs::read(&files.cert).unwrap(), first);
        assert_eq!(load(&files).unwrap().alpn_protocols.len(), 2);
    }

    #[test]
    fn a_file_that_is_no_certificate_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let cert = directory.path().join("cert.pem");
        fs::write(&cert, "not a certificate").unwrap();
        let files = PemFiles { key: cert.clone(), cert };
        let error = load(&files).unwrap_err().to_string();
        assert!(error.contains("cert.pem") && error.contains("certificate"), "{error}");
    }
}
