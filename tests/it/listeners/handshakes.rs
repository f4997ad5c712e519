//! Handshakes that fail are told and counted, and a signal to read files again ends nothing.

use std::{fs, time::Duration};

use rustix::process::Signal;
use tokio::{io::AsyncWriteExt, net::TcpStream};

use super::closed;
use crate::support::{
    Database, Kind,
    binary::{Served, complaint, run},
    http::{get, post_form},
    tls::{Authority, Files, client_tls, connect},
};

async fn metrics(served: &Served) -> String {
    String::from_utf8(get(served.probes(), "/metrics").await.body.to_vec()).unwrap()
}

fn tls_flags(files: &Files) -> [String; 4] {
    let path = |name: &str| files.path(name).to_str().unwrap().to_owned();
    ["--tls-cert".into(), path("cert.pem"), "--tls-key".into(), path("key.pem")]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_handshake_is_logged_with_source_and_cause_and_counted() {
    let (files, database) = (Files::new(), Database::new(Kind::Sqlite).await);
    let flags = tls_flags(&files);
    let served = Served::start(&database, &flags.each_ref().map(String::as_str));
    for (address, listener) in [(served.grpc, "grpc"), (served.http, "http")] {
        // A check of the port alone is no handshake.
        drop(TcpStream::connect(address).await.unwrap());
        let mut plain = TcpStream::connect(address).await.unwrap();
        plain.write_all(b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
        closed(&mut plain).await;
        let said = served.until("a TLS handshake failed");
        let line = said.lines().last().unwrap();
        for part in ["WARN", listener, "source=127.0.0.1", "malformed", "does not speak TLS"] {
            assert!(line.contains(part), "{part} in {line}");
        }
        let stranger = client_tls(&Authority::new(), None, "");
        connect(address, &stranger).await.unwrap_err();
        let refused = format!(
            "jeton_tls_handshakes_failed_total{{listener=\"{listener}\",cause=\"refused\"}} 1"
        );
        while !metrics(&served).await.contains(&refused) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let counted = metrics(&served).await;
        for (cause, times) in [("malformed", 1), ("closed", 0), ("timeout", 0)] {
            let series = format!("{{listener=\"{listener}\",cause=\"{cause}\"}} {times}");
            assert!(counted.contains(&series), "{series} in {counted}");
        }
    }
    // The two others came within ten seconds of a line that was logged.
    assert_eq!(served.end().matches("a TLS handshake failed").count(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shim_that_does_not_trust_its_upstream_says_so() {
    let (files, database) = (Files::new(), Database::new(Kind::Sqlite).await);
    let flags = tls_flags(&files);
    let node = Served::start(&database, &flags.each_ref().map(String::as_str));
    fs::write(files.path("other.pem"), Authority::new().pem()).unwrap();
    let (upstream, ca) =
        (format!("https://localhost:{}", node.grpc.port()), files.path("other.pem"));
    let flags = ["--upstream", &upstream, "--upstream-ca", ca.to_str().unwrap()];
    let shim = Served::shim(&flags);
    let form = "grant_type=client_credentials";
    let answer = post_form(shim.http, "/oauth2/token", "orders", "jts_x", form).await;
    assert_eq!(answer.status, 503, "{answer:?}");
    let said = shim.until("the upstream cannot be reached");
    assert!(said.lines().last().unwrap().contains("invalid peer certificate"), "{said}");
    let counted = metrics(&shim).await;
    assert!(counted.contains("jeton_upstream_failures_total 1"), "{counted}");
    assert!(!metrics(&node).await.contains("jeton_upstream_failures"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signal_to_reload_ends_no_service_and_ends_a_trial() {
    let database = Database::new(Kind::Sqlite).await;
    for flags in [&[][..], &["--tls-self-signed"]] {
        let served = Served::start(&database, flags);
        served.signal(Signal::HUP);
        let said = served.until(if flags.is_empty() { "no files to reload" } else { "reloaded" });
        assert!(!said.contains("draining"), "{said}");
        assert_eq!(get(served.probes(), "/readyz").await.status, 200);
    }
    let shim = Served::shim(&["--upstream", "http://127.0.0.1:1"]);
    shim.signal(Signal::HUP);
    shim.until("no files to reload");
    let mut dev = Served::dev(&database);
    dev.signal(Signal::HUP);
    assert!(dev.ended(Duration::from_secs(30)).await.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revocation_list_of_another_authority_is_refused_and_the_changed_file_is_named() {
    let (files, database) = (Files::new(), Database::new(Kind::Sqlite).await);
    let other = Authority::named("Another authority");
    let crl = files.path("crl.pem");
    fs::write(&crl, other.revoke(&[8], 3_600)).unwrap();
    let path = |name: &str| files.path(name).to_str().unwrap().to_owned();
    let (ca, list) = (path("ca.pem"), path("crl.pem"));
    let [cert_flag, cert, key_flag, key] = tls_flags(&files);
    let flags = [&cert_flag, &cert, &key_flag, &key].map(String::as_str);
    let flags = [&flags[..], &["--tls-client-ca", &ca, "--tls-client-crl", &list]].concat();
    let refused = complaint(&run(&[&["serve"], &flags[..]].concat(), &database));
    for part in ["crl.pem", "ca.pem", "is of an authority in"] {
        assert!(refused.contains(part), "{part} in {refused}");
    }
    fs::write(&crl, files.authority.revoke(&[8], 3_600)).unwrap();
    let served = Served::start(&database, &flags);
    fs::write(&crl, other.revoke(&[8, 9], 3_600)).unwrap();
    let said = served.until("stays in force");
    let line = said.lines().last().unwrap();
    assert!(line.contains("changed=\"") && line.contains("crl.pem\""), "{line}");
    assert!(!line.contains("cert.pem"), "{line}");
    // One of its own beside it is enough.
    let both = files.authority.revoke(&[8], 3_600) + &other.revoke(&[8], 3_600);
    fs::write(&crl, both).unwrap();
    let said = served.until("reloaded the files of TLS");
    assert!(said.contains("some revocation lists are not of an authority"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_missing_is_not_called_a_wrong_one() {
    let (files, database) = (Files::new(), Database::new(Kind::Sqlite).await);
    let flags = tls_flags(&files);
    fs::remove_file(files.path("cert.pem")).unwrap();
    let command = [&["serve"], &flags.each_ref().map(String::as_str)[..]].concat();
    let refused = complaint(&run(&command, &database));
    assert!(refused.contains("cert.pem cannot be read: No such file"), "{refused}");
}
