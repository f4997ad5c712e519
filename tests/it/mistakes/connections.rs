//! Mistakes about `--server` and about the addresses of a node.

use std::process::Output;

use time::OffsetDateTime;

use super::assert_says;
use crate::support::{
    Database, Kind,
    binary::{Served, jeton},
    tls::Files,
};

fn ask(server: &str, more: &[&str]) -> Output {
    jeton()
        .args(["token", "issue", "--client-id", "orders", "--server", server])
        .args(more)
        .env("JETON_CLIENT_SECRET", "jts_x")
        .output()
        .unwrap()
}

/// Seconds since 1970 until which the certificate is valid; the name that it is for; what is said.
type Row<'a> = (i64, &'a str, &'a [&'a str]);

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_that_is_not_trusted_is_refused_with_its_own_reason() {
    let files = Files::new();
    let path = |name: &str| files.path(name).display().to_string();
    let (cert, key, authority) = (path("cert.pem"), path("key.pem"), path("ca.pem"));
    let rows: [Row<'_>; 2] = [
        (
            1_600_000_000,
            "localhost",
            &["expired at 2020-09-13T12:26:40Z", "--tls-cert", "expired:"],
        ),
        (4_000_000_000, "other.test", &["is for other.test and not for localhost", "by a name"]),
    ];
    for (until, name, expected) in rows {
        let until = OffsetDateTime::from_unix_timestamp(until).unwrap();
        let (made, its_key) = files.authority.issue_for(name, until);
        files.write(&made, &its_key);
        let database = Database::ready(Kind::Sqlite).await;
        let running = Served::start(&database, &["--tls-cert", &cert, "--tls-key", &key]);
        let server = format!("https://localhost:{}", running.grpc.port());
        let refused = ask(&server, &["--tls-ca", &authority]);
        assert_says(&refused, expected);
        assert_says(&refused, &[&server, "invalid peer certificate"]);
        assert_eq!(refused.status.code(), Some(1), "to try again does not help");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_no_url_or_another_listener_is_told() {
    let database = Database::ready(Kind::Sqlite).await;
    let running = Served::start(&database, &[]);
    let address = running.grpc.to_string();
    let no_url = ask(&address, &[]);
    assert_says(&no_url, &["--server", &format!("https://{address}"), "without TLS"]);
    assert_eq!(no_url.status.code(), Some(2));
    for other in [running.http, running.probes()] {
        let server = format!("http://{other}");
        let refused = ask(&server, &[]);
        assert_says(&refused, &[&server, "does not speak gRPC", "--grpc-addr", "404"]);
    }
    let plain = ask(&format!("https://localhost:{}", running.grpc.port()), &[]);
    assert_says(&plain, &["is the URL https instead of http?", "corrupt message"]);
}
