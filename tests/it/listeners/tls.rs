//! What a TLS connection may be: algorithms, resumption, revoked certificates, headers.

use std::{fs, io, net::SocketAddr, path::Path, sync::Arc};

use jeton::net::Limits;
use rustix::process::Signal;
use rustls::{
    CipherSuite, ClientConfig, HandshakeKind, NamedGroup,
    crypto::{SupportedKxGroup, aws_lc_rs},
    pki_types::{CertificateDer, pem::PemObject},
};
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt},
    net::TcpStream,
};

use super::{closed, metadata_over};
use crate::support::{
    Database, Kind, TestNode,
    binary::{Served, complaint, jeton, run},
    clock::Clock,
    tls::{Files, TlsNode, client_builder, client_tls, connect},
};

/// A client of TLS 1.2 or 1.3 that has only those cipher suites and groups.
fn client(
    files: &Files,
    has_suite: impl Fn(CipherSuite) -> bool,
    has_group: impl Fn(NamedGroup) -> bool,
) -> Arc<ClientConfig> {
    let mut provider = aws_lc_rs::default_provider();
    provider.cipher_suites.retain(|suite| has_suite(suite.suite()));
    provider.kx_groups.retain(|group| has_group(group.name()));
    Arc::new(client_builder(&files.authority.pem(), provider).with_no_client_auth())
}

fn is_tls12(suite: CipherSuite) -> bool {
    suite.as_str().unwrap().contains("_WITH_")
}

fn is_chacha(suite: CipherSuite) -> bool {
    suite.as_str().unwrap().contains("CHACHA20")
}

/// The cipher suite and the group of a handshake on both listeners; of TLS 1.2 the client does not
/// know the group.
async fn negotiated(
    node: &TlsNode,
    client: &Arc<ClientConfig>,
) -> io::Result<[(CipherSuite, Option<NamedGroup>); 2]> {
    let mut found = Vec::new();
    for address in [node.node.http_addr(), node.node.grpc_addr()] {
        let stream = connect(address, client).await?;
        let session = stream.get_ref().1;
        let suite = session.negotiated_cipher_suite().unwrap().suite();
        let group = session.negotiated_key_exchange_group();
        found.push((suite, group.map(SupportedKxGroup::name)));
    }
    Ok([found[0], found[1]])
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_1_2_is_ephemeral_with_aes_gcm_and_nothing_else() {
    let node = TlsNode::start(Limits::default()).await;
    let gcm = client(&node.files, |suite| is_tls12(suite) && !is_chacha(suite), |_| true);
    for (suite, _) in negotiated(&node, &gcm).await.unwrap() {
        let name = suite.as_str().unwrap();
        assert!(name.starts_with("TLS_ECDHE_") && name.contains("_GCM_"), "{name}");
    }
    let chacha = client(&node.files, |suite| is_tls12(suite) && is_chacha(suite), |_| true);
    negotiated(&node, &chacha).await.unwrap_err();
    // TLS 1.3 keeps it, for machines without instructions for AES.
    let chacha = client(&node.files, |suite| !is_tls12(suite) && is_chacha(suite), |_| true);
    negotiated(&node, &chacha).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_exchange_that_resists_quantum_computers_is_preferred() {
    let node = TlsNode::start(Limits::default()).await;
    let new = NamedGroup::X25519MLKEM768;
    let able = client(&node.files, |_| true, |_| true);
    let found = negotiated(&node, &able).await.unwrap();
    assert!(found.iter().all(|(_, group)| *group == Some(new)), "{found:?}");
    let old = client(&node.files, |_| true, |group| group == NamedGroup::X25519);
    negotiated(&node, &old).await.unwrap();
}

/// How the second of two connections of one client began.
async fn second_handshake(address: SocketAddr, client: &Arc<ClientConfig>) -> HandshakeKind {
    metadata_over(connect(address, client).await.unwrap()).await;
    let second = connect(address, client).await.unwrap();
    let kind = second.get_ref().1.handshake_kind().unwrap();
    metadata_over(second).await;
    kind
}

/// A certificate that was revoked in between would not be seen.
#[tokio::test(flavor = "multi_thread")]
async fn a_session_is_not_resumed_where_clients_have_certificates() {
    let asking = TlsNode::with_clients(Limits::default(), true, false).await;
    let plain = TlsNode::start(Limits::default()).await;
    for is_old in [false, true] {
        let suites = |suite| is_tls12(suite) == is_old;
        for (node, expected) in [(&plain, HandshakeKind::Resumed), (&asking, HandshakeKind::Full)] {
            let client = client(&node.files, suites, |_| true);
            let found = second_handshake(node.node.http_addr(), &client).await;
            assert_eq!(found, expected, "TLS 1.2: {is_old}");
        }
    }
    let shown = asking.files.authority.issue();
    let client = client_tls(&asking.files.authority, Some(shown), "http/1.1");
    let found = second_handshake(asking.node.http_addr(), &client).await;
    assert_eq!(found, HandshakeKind::Full);
}

/// Flags of a node that verifies the certificates of clients.
fn flags(files: &Files) -> Vec<String> {
    let path = |name: &str| files.path(name).display().to_string();
    let names = [
        ("--tls-cert", "cert.pem"),
        ("--tls-key", "key.pem"),
        ("--tls-client-ca", "ca.pem"),
        ("--tls-client-crl", "crl.pem"),
    ];
    names.iter().flat_map(|(flag, name)| [(*flag).to_owned(), path(name)]).collect()
}

/// Whether a client that shows this certificate is served over HTTP.
async fn serves(served: &Served, files: &Files, shows: Option<(String, String)>) -> bool {
    let config = client_tls(&files.authority, shows, "http/1.1");
    let Ok(stream) = connect(served.http, &config).await else { return false };
    answer(stream, "GET / HTTP/1.1\r\nhost: localhost").await.starts_with("HTTP/1.1")
}

/// The whole answer to a request with this head, in small letters of the header names.
async fn answer(stream: impl AsyncRead + AsyncWrite, head: &str) -> String {
    let (mut reader, mut writer) = tokio::io::split(stream);
    // Under TLS 1.3 a client learns that it is refused with the first thing that it reads.
    let _ = writer.write_all(format!("{head}\r\nconnection: close\r\n\r\n").as_bytes()).await;
    closed(&mut reader).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_certificate_is_refused_and_so_is_every_one_once_the_list_has_expired() {
    let (files, database) = (Files::new(), Database::new(Kind::Sqlite).await);
    let (good, bad) =
        (files.authority.issue_numbered(Some(7)), files.authority.issue_numbered(Some(8)));
    let list = |serials: &[u64], expires_in| {
        fs::write(files.path("crl.pem"), files.authority.revoke(serials, expires_in)).unwrap();
    };
    list(&[8], 3_600);
    let flags = flags(&files);
    let flags: Vec<_> = flags.iter().map(String::as_str).collect();
    let served = Served::start(&database, &flags);
    let is_served =
        async |shows: &(String, String)| serves(&served, &files, Some(shows.clone())).await;
    assert!(is_served(&good).await && !is_served(&bad).await);

    list(&[7, 8], 3_600);
    served.signal(Signal::HUP);
    served.until("reloaded the files of TLS");
    assert!(!is_served(&good).await && !is_served(&bad).await);

    // The certificate that was good would be again, if the list had not expired.
    list(&[8], -60);
    served.signal(Signal::HUP);
    served.until("reloaded the files of TLS");
    assert!(!is_served(&good).await);
    let said = served.until("revocation list has expired");
    assert!(said.contains("crl.pem"), "{said}");
    // Clients without a certificate are still served, as they are not required to have one.
    assert!(serves(&served, &files, None).await);

    list(&[8], 3_600);
    served.signal(Signal::HUP);
    served.until("reloaded the files of TLS");
    assert!(is_served(&good).await && !is_served(&bad).await);

    fs::write(files.path("crl.pem"), "no list").unwrap();
    served.signal(Signal::HUP);
    let said = served.until("stays in force");
    assert!(said.contains("crl.pem") && said.contains("revocation list"), "{said}");
    assert!(is_served(&good).await && !is_served(&bad).await);
    let refused = complaint(&run(&[&["serve"], &flags[..]].concat(), &database));
    assert!(refused.contains("crl.pem"), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_answer_over_http_says_what_browsers_must_not_do() {
    let with_tls = TlsNode::start(Limits::default()).await;
    let plain = TestNode::start(Kind::Sqlite).await;
    let client = client_tls(&with_tls.files.authority, None, "http/1.1");
    for (status, head) in [
        (200, "GET /.well-known/oauth-authorization-server HTTP/1.1\r\nhost: localhost"),
        (400, "GET / HTTP/1.1\r\nhost: localhost\r\nhost: localhost"),
        (404, "GET / HTTP/1.1\r\nhost: localhost"),
        (405, "GET /oauth2/token HTTP/1.1\r\nhost: localhost"),
        (415, "POST /oauth2/token HTTP/1.1\r\nhost: localhost\r\ncontent-length: 0"),
    ] {
        let stream = connect(with_tls.node.http_addr(), &client).await.unwrap();
        let over_tls = answer(stream, head).await;
        let stream = TcpStream::connect(plain.node.http_addr()).await.unwrap();
        let in_clear = answer(stream, head).await;
        for said in [&over_tls, &in_clear] {
            assert!(said.starts_with(&format!("HTTP/1.1 {status}")), "{said}");
            assert!(said.contains("\r\nx-content-type-options: nosniff\r\n"), "{said}");
        }
        let promise = "\r\nstrict-transport-security: max-age=31536000\r\n";
        assert!(over_tls.contains(promise), "{over_tls}");
        assert!(!in_clear.contains("strict-transport-security"), "{in_clear}");
    }
}

/// The first certificate of a PEM file.
fn certificate(path: &Path) -> CertificateDer<'static> {
    CertificateDer::from_pem_file(path).unwrap()
}

/// The node starts when the clock shows a day two months ago, and then the clock is set.
#[tokio::test(flavor = "multi_thread")]
async fn a_self_signed_certificate_is_made_again_while_the_node_runs() {
    let Some(clock) = Clock::new() else {
        println!("not run: libfaketime is missing");
        return;
    };
    clock.set(-61 * 86_400);
    let database = Database::new(Kind::Sqlite).await;
    let mut command = jeton();
    command.envs(clock.environment());
    let served = Served::start_as(&mut command, &database, &["--tls-self-signed"]);
    let path = database.dir.path().join("tls/cert.pem");
    let shown = async || {
        let trusted = fs::read_to_string(&path).unwrap();
        let client = client_builder(&trusted, aws_lc_rs::default_provider());
        let stream = connect(served.http, &Arc::new(client.with_no_client_auth())).await.unwrap();
        let certificates = stream.get_ref().1.peer_certificates().unwrap();
        certificates[0].clone().into_owned()
    };
    let first = certificate(&path);
    assert_eq!(shown().await, first);
    let subject = String::from_utf8_lossy(&first).into_owned();
    assert!(subject.contains("Jeton self-signed") && !subject.contains("rcgen"));

    clock.set(0);
    served.until("made a new self-signed certificate");
    served.until("reloaded the files of TLS");
    assert_ne!(certificate(&path), first);
    assert_eq!(shown().await, certificate(&path));
}
