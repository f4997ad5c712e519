//! Certificates made for a test, and a node that does TLS with them.

use std::{
    fs::{self, OpenOptions},
    io::{self, Write},
    net::SocketAddr,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime},
};

use jeton::{
    domain::{Clock, SystemClock},
    net::{
        Limits,
        tls::{PemFiles, Tls, TlsFiles},
    },
    node::{Node, NodeOptions},
};
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CertifiedIssuer, DnType,
    IsCa, KeyIdMethod, KeyPair, RevokedCertParams, SerialNumber,
};
use rustls::{
    ClientConfig, ConfigBuilder, RootCertStore,
    client::WantsClientCert,
    crypto::{CryptoProvider, aws_lc_rs},
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject},
};
use tempfile::TempDir;
use time::OffsetDateTime;
use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, client::TlsStream};

use super::{Database, Kind, TestNodeOptions, node::node_options};

/// A certificate authority.
pub(crate) struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    /// The usual one. Its name is not that of its certificates, which OpenSSL would take for
    /// self-signed.
    pub(crate) fn new() -> Self {
        Self::named("authority of the tests")
    }

    /// One of this name.
    pub(crate) fn named(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    pub(crate) fn pem(&self) -> String {
        self.0.pem()
    }

    /// A certificate for `localhost` and its key, both PEM.
    pub(crate) fn issue(&self) -> (String, String) {
        self.issue_numbered(None)
    }

    /// The same, with a serial number by which it can be revoked.
    pub(crate) fn issue_numbered(&self, serial: Option<u64>) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(["localhost".to_owned()]).unwrap();
        params.serial_number = serial.map(SerialNumber::from);
        (params.signed_by(&key, &self.0).unwrap().pem(), key.serialize_pem())
    }

    /// A certificate for this name that is valid until then, and its key, both PEM.
    pub(crate) fn issue_for(&self, name: &str, not_after: OffsetDateTime) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new([name.to_owned()]).unwrap();
        params.not_after = not_after;
        (params.signed_by(&key, &self.0).unwrap().pem(), key.serialize_pem())
    }

    /// A revocation list of these serial numbers, which expires in so many seconds, PEM.
    pub(crate) fn revoke(&self, serials: &[u64], expires_in: i64) -> String {
        let now = SystemTime::from(SystemClock.now());
        let day = Duration::from_hours(24);
        let revoked = |serial: &u64| RevokedCertParams {
            serial_number: SerialNumber::from(*serial),
            revocation_time: (now - day).into(),
            reason_code: None,
            invalidity_date: None,
        };
        let params = CertificateRevocationListParams {
            this_update: (now - day).into(),
            next_update: OffsetDateTime::from(now) + time::Duration::seconds(expires_in),
            crl_number: SerialNumber::from(1),
            issuing_distribution_point: None,
            revoked_certs: serials.iter().map(revoked).collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        params.signed_by(&self.0).unwrap().pem().unwrap()
    }
}

/// A folder with a certificate, its key, and the authority's own certificate.
pub(crate) struct Files {
    pub(crate) authority: Authority,
    pub(crate) dir: TempDir,
}

impl Files {
    pub(crate) fn new() -> Self {
        let files = Self { authority: Authority::new(), dir: tempfile::tempdir().unwrap() };
        fs::write(files.path("ca.pem"), files.authority.pem()).unwrap();
        let (cert, key) = files.authority.issue();
        files.write(&cert, &key);
        files
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn write(&self, cert: &str, key: &str) {
        fs::write(self.path("cert.pem"), cert).unwrap();
        write_key(&self.path("key.pem"), key);
    }
}

/// Writes a file that only its owner can read.
pub(crate) fn write_key(path: &Path, key: &str) {
    let mut file = OpenOptions::new();
    let file = file.write(true).create(true).truncate(true).mode(0o600).open(path);
    file.unwrap().write_all(key.as_bytes()).unwrap();
}

/// What a client does TLS with: it trusts this authority, shows this certificate if any, and
/// offers this protocol if it is not empty.
pub(crate) fn client_tls(
    authority: &Authority,
    shown: Option<(String, String)>,
    alpn: &str,
) -> Arc<ClientConfig> {
    let builder = client_builder(&authority.pem(), aws_lc_rs::default_provider());
    let mut config = match shown {
        None => builder.with_no_client_auth(),
        Some((cert, key)) => {
            let cert = CertificateDer::from_pem_slice(cert.as_bytes()).unwrap();
            let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
            builder.with_client_auth_cert(vec![cert], key).unwrap()
        }
    };
    if !alpn.is_empty() {
        config.alpn_protocols = vec![alpn.as_bytes().to_vec()];
    }
    Arc::new(config)
}

/// A client that trusts this certificate and does TLS with these algorithms.
pub(crate) fn client_builder(
    trusted: &str,
    provider: CryptoProvider,
) -> ConfigBuilder<ClientConfig, WantsClientCert> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(trusted.as_bytes()).unwrap()).unwrap();
    ClientConfig::builder_with_provider(Arc::new(provider))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
}

pub(crate) async fn connect(
    address: SocketAddr,
    config: &Arc<ClientConfig>,
) -> io::Result<TlsStream<TcpStream>> {
    let stream = TcpStream::connect(address).await?;
    let name = ServerName::try_from("localhost").unwrap();
    TlsConnector::from(Arc::clone(config)).connect(name, stream).await
}

/// A node that does TLS, in this process.
pub(crate) struct TlsNode {
    pub(crate) node: Node,
    pub(crate) files: Files,
    _database: Database,
}

impl TlsNode {
    pub(crate) async fn start(limits: Limits) -> Self {
        Self::with_clients(limits, false, false).await
    }

    /// A node that asks clients for certificates of its own authority, or insists on them.
    pub(crate) async fn with_clients(limits: Limits, asks: bool, insists: bool) -> Self {
        let (files, database) = (Files::new(), Database::new(Kind::Sqlite).await);
        let tls = Tls::load(TlsFiles {
            pem: PemFiles { cert: files.path("cert.pem"), key: files.path("key.pem") },
            client_ca: asks.then(|| files.path("ca.pem")),
            client_crl: None,
            client_required: insists,
        });
        let options = TestNodeOptions { limits, ..Default::default() };
        let options = NodeOptions {
            tls: Some(Arc::new(tls.unwrap())),
            ..node_options(database.store(), &options)
        };
        Self { node: Node::start(options).await.unwrap(), files, _database: database }
    }
}
