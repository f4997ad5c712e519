//! Certificates made for a test, and a node that does TLS with them.

use std::{fs, io, net::SocketAddr, path::PathBuf, sync::Arc};

use jeton::{
    net::{
        Limits,
        tls::{PemFiles, Tls, TlsFiles},
    },
    node::{Node, NodeOptions},
};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject},
};
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, client::TlsStream};

use super::{Database, Kind, TestNodeOptions, node::node_options};

/// A certificate authority.
pub(crate) struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    pub(crate) fn pem(&self) -> String {
        self.0.pem()
    }

    /// A certificate for `localhost` and its key, both PEM.
    pub(crate) fn issue(&self) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(["localhost".to_owned()]).unwrap();
        (params.signed_by(&key, &self.0).unwrap().pem(), key.serialize_pem())
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
        fs::write(self.path("key.pem"), key).unwrap();
    }
}

/// What a client does TLS with: it trusts this authority, shows this certificate if any, and
/// offers this protocol if it is not empty.
pub(crate) fn client_tls(
    authority: &Authority,
    shown: Option<(String, String)>,
    alpn: &str,
) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(authority.pem().as_bytes()).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots);
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
