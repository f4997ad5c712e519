//! The PROXY protocol: from whom it is required, and before what it comes.

use jeton::{
    config::Proxies,
    net::{
        Limits,
        tls::{PemFiles, Tls, TlsFiles},
    },
};
use std::{sync::Arc, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::timeout,
};
use tokio_rustls::{TlsConnector, rustls::pki_types::ServerName};

use super::{CHEAP, PROXY, STRANGER, Secrets, Way, ask, connect, proxy_header, say, status};
use crate::support::{
    Kind, TestNode, TestNodeOptions,
    tls::{Files, client_tls},
};

const METADATA: &[u8] = b"GET /.well-known/oauth-authorization-server HTTP/1.1\r\nHost: x\r\n\
                          Connection: close\r\n\r\n";

const LOCAL: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x20\x00\0\0";
const UNKNOWN: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x21\x00\0\x03abc";

fn proxies() -> Proxies {
    Proxies { proxy_protocol: Some(PROXY.parse().unwrap()), ..Proxies::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_header_is_required_from_these_proxies_and_refused_from_others() {
    let secrets = Secrets::new().await;
    let node = secrets.serve(&[&CHEAP, &["--proxy-protocol", PROXY]]);
    let announced = proxy_header([192, 0, 2, 7].into());
    for header in [&announced[..], LOCAL, UNKNOWN] {
        for listener in [node.http, node.grpc] {
            let said = say(PROXY, listener, &[header, METADATA].concat()).await;
            assert!(said.starts_with("HTTP/1.1 "), "{said}");
        }
    }
    assert_eq!(say(PROXY, node.http, METADATA).await, "", "it is closed without an answer");
    assert_eq!(say(PROXY, node.http, METADATA).await, "");
    assert_eq!(status(&say(STRANGER, node.http, METADATA).await), 200);
    let said = say(STRANGER, node.http, &[&announced, METADATA].concat()).await;
    assert!(!said.starts_with("HTTP/1.1 200"), "{said}");
    let head = ask(Way::Protocol, "192.0.2.7", node.http, "victim", &secrets.right).await;
    assert_eq!(status(&head), 200);
    let log = node.until("send-proxy-v2") + &node.end();
    let lines: Vec<_> = log.lines().filter(|line| line.contains("send-proxy-v2")).collect();
    assert!(lines.len() == 1 && lines[0].contains(PROXY), "it is logged once: {log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_that_stays_silent_is_cut() {
    let limits = Limits {
        handshake_timeout: Duration::from_millis(500),
        ..TestNodeOptions::default().limits
    };
    let options = TestNodeOptions { limits, proxies: proxies(), ..TestNodeOptions::default() };
    let node = TestNode::start_with(Kind::Sqlite, options).await;
    for sent in [&b""[..], &LOCAL[..15], &UNKNOWN[..18], LOCAL] {
        let mut stream = connect(PROXY.parse().unwrap(), node.node.http_addr()).await;
        stream.write_all(sent).await.unwrap();
        let read = timeout(Duration::from_secs(20), stream.read(&mut [0; 64])).await;
        assert!(matches!(read.expect("it stays open"), Ok(0) | Err(_)));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_header_comes_before_tls() {
    let files = Files::new();
    let pem = PemFiles { cert: files.path("cert.pem"), key: files.path("key.pem") };
    let tls = Some(Arc::new(Tls::load(TlsFiles::from(pem)).unwrap()));
    let options = TestNodeOptions { tls, proxies: proxies(), ..TestNodeOptions::default() };
    let node = TestNode::start_with(Kind::Sqlite, options).await;
    let config = client_tls(&files.authority, None, "http/1.1");
    let mut stream = connect(PROXY.parse().unwrap(), node.node.http_addr()).await;
    stream.write_all(&proxy_header([192, 0, 2, 7].into())).await.unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    let mut stream = TlsConnector::from(config).connect(name, stream).await.unwrap();
    stream.write_all(METADATA).await.unwrap();
    let mut said = String::new();
    stream.read_to_string(&mut said).await.unwrap();
    assert_eq!(status(&said), 200, "{said}");
}
