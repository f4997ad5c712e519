//! Certificates: renewed while the node runs, and asked for from clients.

use jeton::net::Limits;
use rustix::process::Signal;
use rustls::pki_types::{CertificateDer, pem::PemObject};

use super::metadata_over;
use crate::support::{
    Database, Kind,
    binary::Served,
    tls::{Authority, Files, TlsNode, client_tls, connect},
};

/// A node in a process of its own, since it is asked by a signal to read its certificate again.
async fn served(files: &Files) -> (Database, Served) {
    let database = Database::new(Kind::Sqlite).await;
    let (cert, key) = (files.path("cert.pem"), files.path("key.pem"));
    let flags = ["--tls-cert", cert.to_str().unwrap(), "--tls-key", key.to_str().unwrap()];
    let served = Served::start(&database, &flags);
    (database, served)
}

/// The certificate that a new connection is shown.
async fn shown(served: &Served, files: &Files) -> CertificateDer<'static> {
    let config = client_tls(&files.authority, None, "http/1.1");
    let stream = connect(served.http, &config).await.unwrap();
    let certificate = stream.get_ref().1.peer_certificates().unwrap()[0].clone().into_owned();
    metadata_over(stream).await;
    certificate
}

fn der(pem: &str) -> CertificateDer<'static> {
    CertificateDer::from_pem_slice(pem.as_bytes()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_renewed_certificate_is_shown_to_new_connections_and_old_ones_go_on() {
    let files = Files::new();
    let (_database, served) = served(&files).await;
    let before = shown(&served, &files).await;
    let config = client_tls(&files.authority, None, "http/1.1");
    let old = connect(served.http, &config).await.unwrap();

    let (cert, key) = files.authority.issue();
    files.write(&cert, &key);
    served.until("reloaded the files of TLS");
    assert_ne!(shown(&served, &files).await, before);
    assert_eq!(shown(&served, &files).await, der(&cert));
    metadata_over(old).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_renewal_that_cannot_be_used_leaves_the_old_certificate_in_force() {
    let files = Files::new();
    let (_database, served) = served(&files).await;
    let before = shown(&served, &files).await;

    let (cert, key) = files.authority.issue();
    let (_, other_key) = files.authority.issue();
    for (cert, key) in [(cert.as_str(), other_key.as_str()), ("", key.as_str()), (&cert, "-")] {
        files.write(cert, key);
        served.signal(Signal::HUP);
        let said = served.until("stays in force");
        assert!(!said.contains("PRIVATE KEY"), "{said}");
        assert_eq!(shown(&served, &files).await, before);
    }
    std::fs::remove_file(files.path("cert.pem")).unwrap();
    served.signal(Signal::HUP);
    let said = served.until("stays in force");
    assert!(said.contains("cert.pem"), "{said}");
    assert_eq!(shown(&served, &files).await, before);

    files.write(&cert, &key);
    served.signal(Signal::HUP);
    served.until("reloaded the files of TLS");
    assert_eq!(shown(&served, &files).await, der(&cert));
}

/// Whether a client that shows this is served.
async fn is_served(node: &TlsNode, shows: Option<(String, String)>) -> bool {
    let config = client_tls(&node.files.authority, shows, "http/1.1");
    for address in [node.node.http_addr(), node.node.grpc_addr()] {
        // Under TLS 1.3 the client learns that it is refused with the first thing that it reads.
        let Ok(stream) = connect(address, &config).await else { return false };
        let (mut reader, mut writer) = tokio::io::split(stream);
        let request = b"GET / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
        let _ = tokio::io::AsyncWriteExt::write_all(&mut writer, request).await;
        if !super::closed(&mut reader).await.starts_with("HTTP/1.1") {
            return false;
        }
    }
    true
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_certificate_is_verified_if_there_is_one() {
    let node = TlsNode::with_clients(Limits::default(), true, false).await;
    let good = node.files.authority.issue();
    assert!(is_served(&node, Some(good)).await);
    assert!(is_served(&node, None).await);
    assert!(!is_served(&node, Some(Authority::new().issue())).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_without_certificate_is_refused_where_one_is_required() {
    let node = TlsNode::with_clients(Limits::default(), true, true).await;
    let good = node.files.authority.issue();
    assert!(is_served(&node, Some(good)).await);
    assert!(!is_served(&node, None).await);
    assert!(!is_served(&node, Some(Authority::new().issue())).await);
}
