//! The files of a TLS configuration, and the rules that are the same for all of them.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::SystemTime,
};

use rustls::{
    RootCertStore, ServerConfig,
    crypto::CryptoProvider,
    pki_types::{
        CertificateDer, CertificateRevocationListDer, PrivateKeyDer,
        pem::{Error::NoItemsFound, PemObject},
    },
    server::{NoServerSessionStorage, WebPkiClientVerifier, danger::ClientCertVerifier},
};
use webpki::{BorrowedCertRevocationList, CertRevocationList};

use super::TlsError;
use crate::data_dir;

/// ALPN protocols, in the server's order of preference: both are served on one port.
const ALPN: [&[u8]; 2] = [b"h2", b"http/1.1"];

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
    /// Certificate revocation lists of these authorities. Without `client_ca` they have no effect.
    pub client_crl: Option<PathBuf>,
    /// Whether clients must present a certificate. Without `client_ca` it has no effect.
    pub client_required: bool,
}

impl From<PemFiles> for TlsFiles {
    /// Clients are not asked for a certificate.
    fn from(pem: PemFiles) -> Self {
        Self { pem, client_ca: None, client_crl: None, client_required: false }
    }
}

/// Modification time and length of each file, to detect changes. `None` for an unreadable file.
pub(super) type Stamp = Vec<Option<(SystemTime, u64)>>;

impl TlsFiles {
    pub(super) fn stamp(&self) -> Stamp {
        let of_file = |path: &PathBuf| {
            let metadata = fs::metadata(path).ok()?;
            Some((metadata.modified().ok()?, metadata.len()))
        };
        self.paths().map(of_file).collect()
    }

    fn paths(&self) -> impl Iterator<Item = &PathBuf> {
        let required = [&self.pem.cert, &self.pem.key];
        required.into_iter().chain(&self.client_ca).chain(&self.client_crl)
    }

    /// The files whose stamps differ, for the log.
    pub(super) fn changed(&self, before: &Stamp, now: &Stamp) -> String {
        let stamps = before.iter().zip(now);
        let changed = self.paths().zip(stamps).filter(|(_, (before, now))| before != now);
        let changed = changed.map(|(path, _)| path.display().to_string()).collect::<Vec<_>>();
        if changed.is_empty() { "none".to_owned() } else { changed.join(", ") }
    }

    pub(super) fn read(&self) -> Result<ServerConfig, TlsError> {
        let chain = certificates(&self.pem.cert)?;
        let key = private_key(&self.pem.key)?;
        let builder = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()?;
        let builder = match &self.client_ca {
            None => builder.with_no_client_auth(),
            Some(authorities) => builder.with_client_cert_verifier(self.verifier(authorities)?),
        };
        let mut config = builder.with_single_cert(chain, key)?;
        config.ignore_client_order = true;
        config.alpn_protocols = ALPN.map(<[u8]>::to_vec).into();
        if self.client_ca.is_some() {
            // A resumed session would not verify the certificate of the client again, which may
            // have been revoked since.
            config.session_storage = Arc::new(NoServerSessionStorage {});
            config.send_tls13_tickets = 0;
        }
        Ok(config)
    }

    /// Verifies the certificates of clients. With revocation lists, each certificate below the
    /// authority must be covered by one that has not expired.
    fn verifier(&self, authorities: &Path) -> Result<Arc<dyn ClientCertVerifier>, TlsError> {
        let mut roots = RootCertStore::empty();
        for certificate in certificates(authorities)? {
            roots.add(certificate)?;
        }
        let roots = Arc::new(roots);
        let mut verifier =
            WebPkiClientVerifier::builder_with_provider(Arc::clone(&roots), provider());
        if let Some(path) = &self.client_crl {
            let lists = revocation_lists(path)?;
            check_issuers(&lists, &roots, path, authorities)?;
            verifier = verifier.with_crls(lists).enforce_revocation_expiration();
        }
        if !self.client_required {
            verifier = verifier.allow_unauthenticated();
        }
        verifier.build().map_err(|source| {
            let crl = self.client_crl.as_ref().map(|crl| format!(" and {}", crl.display()));
            let files = format!("{}{}", authorities.display(), crl.unwrap_or_default());
            TlsError::ClientCa { files, source }
        })
    }
}

/// The algorithms of both protocol versions: in TLS 1.2 only ephemeral key exchange with AES-GCM.
/// A key exchange that resists quantum computers is preferred (feature `prefer-post-quantum`).
pub(super) fn provider() -> Arc<CryptoProvider> {
    let mut provider = rustls::crypto::aws_lc_rs::default_provider();
    provider.cipher_suites.retain(|suite| {
        let name = suite.suite().as_str().unwrap_or_default();
        suite.tls13().is_some() || name.contains("_GCM_")
    });
    Arc::new(provider)
}

fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    let text = data_dir::read_private(path)
        .map_err(|source| TlsError::Key { path: path.to_owned(), source })?;
    PrivateKeyDer::from_pem_slice(&text).map_err(|source| TlsError::Pem {
        path: path.to_owned(),
        what: "private key",
        source,
    })
}

/// Reads a PEM file that holds at least one certificate.
pub(super) fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    items(path, "certificate")
}

/// Reads a PEM file that holds at least one certificate revocation list.
fn revocation_lists(path: &Path) -> Result<Vec<CertificateRevocationListDer<'static>>, TlsError> {
    items(path, "certificate revocation list")
}

/// Checks by their names that the lists are of these authorities. A list of another one may be of
/// an authority in between, so it is only logged; but without any list of these authorities, every
/// client certificate would be refused.
fn check_issuers(
    lists: &[CertificateRevocationListDer<'_>],
    authorities: &RootCertStore,
    crl_path: &Path,
    authorities_path: &Path,
) -> Result<(), TlsError> {
    let is_of_authority = |list: &CertificateRevocationListDer<'_>| {
        // A list that cannot be parsed is refused by the verifier.
        let Ok(list) = BorrowedCertRevocationList::from_der(list) else { return true };
        let list = CertRevocationList::from(list);
        authorities.roots.iter().any(|root| root.subject.as_ref() == list.issuer())
    };
    let foreign = lists.iter().filter(|list| !is_of_authority(list)).count();
    if foreign == lists.len() {
        let (crl, authorities) = (crl_path.to_owned(), authorities_path.to_owned());
        return Err(TlsError::ForeignList { crl, authorities });
    }
    if foreign > 0 {
        tracing::warn!(
            file = %crl_path.display(),
            foreign,
            "some revocation lists are not of an authority in --tls-client-ca: they only revoke \
             certificates that an authority in between has issued"
        );
    }
    Ok(())
}

fn items<T: PemObject>(path: &Path, what: &'static str) -> Result<Vec<T>, TlsError> {
    let path = path.to_owned();
    let text = fs::read(&path);
    let text = text.map_err(|source| TlsError::Read { path: path.clone(), what, source })?;
    T::pem_slice_iter(&text)
        .collect::<Result<Vec<_>, _>>()
        .and_then(|found| if found.is_empty() { Err(NoItemsFound) } else { Ok(found) })
        .map_err(|source| TlsError::Pem { path, what, source })
}
