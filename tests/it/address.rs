//! The address of a database, followed over real sockets to a server that speaks TLS.

use std::fs;

use jeton::store::Address;
use sqlx::{ConnectOptions, Connection};

use crate::support::{
    binary::{complaint, free_port, jeton},
    postgres::{self, PrivateServer},
    tls::{Authority, Files},
};

/// The driver adds the authorities of this crate to those of `sslrootcert`. With `verify-ca`, anybody
/// who has a certificate of a public one would be taken for the database.
#[test]
fn no_authority_is_trusted_but_those_that_are_named() {
    let lock = include_str!("../../Cargo.lock");
    let lists = ["webpki-roots", "rustls-native-certs", "rustls-platform-verifier"];
    let is_list =
        |package: &&str| lists.iter().any(|name| package.contains(&format!("\"{name}\"\nversion")));
    let found = lock.split("[[package]]").filter(is_list).collect::<Vec<_>>();
    // What is in the tree, and empty, has no source.
    assert!(found.iter().all(|package| !package.contains("\nsource = ")), "{found:?}");
    assert_eq!(found.len(), 1, "{found:?}");
}

/// A server on 127.0.0.1, on `::1` if this machine has it, and on a socket. Its certificate is for
/// `localhost`.
struct Server {
    process: PrivateServer,
    port: u16,
    has_ipv6: bool,
    files: Files,
}

/// None where the server of the tests is somebody else's.
fn serve() -> Option<Server> {
    if !postgres::is_installed() {
        return None;
    }
    let (files, port) = (Files::new(), free_port().port());
    let has_ipv6 = std::net::TcpListener::bind("[::1]:0").is_ok();
    let addresses = if has_ipv6 { "127.0.0.1,::1" } else { "127.0.0.1" };
    let read = |name| fs::read_to_string(files.path(name)).unwrap();
    let process = PrivateServer::start_with(
        &[("cert.pem", &read("cert.pem")), ("key.pem", &read("key.pem"))],
        &[
            ["-c", &format!("listen_addresses={addresses}")],
            ["-c", &format!("port={port}")],
            ["-c", "ssl=on"],
            ["-c", "ssl_cert_file=../cert.pem"],
            ["-c", "ssl_key_file=../key.pem"],
        ]
        .concat(),
    );
    Some(Server { process, port, has_ipv6, files })
}

/// What a server says of a session that was made by an address: whether it is by TLS, and the
/// address of the server, which a socket has not.
async fn session(url: &str) -> Result<(bool, Option<String>), String> {
    let address = Address::parse(url).map_err(|error| error.to_string())?;
    let mut connection = address.hosts()[0].connect().await.map_err(|error| error.to_string())?;
    let said = sqlx::query_as(
        "select ssl, host(inet_server_addr()) from pg_stat_ssl where pid = pg_backend_pid()",
    )
    .fetch_one(&mut connection)
    .await
    .unwrap();
    connection.close().await.unwrap();
    Ok(said)
}

#[tokio::test(flavor = "multi_thread")]
async fn every_way_to_write_the_host_leads_to_it() {
    let Some(server) = serve() else {
        println!("not run: a Postgres with other settings must be one of our own");
        return;
    };
    let port = server.port;
    let by_socket = format!("{}&port={port}", server.process.url("postgres"));
    let mut rows = vec![
        (format!("postgres://postgres:p@127.0.0.1:{port}/postgres"), Some("127.0.0.1")),
        (
            format!("postgres://postgres@nobody.test/?hostaddr=127.0.0.1&port={port}"),
            Some("127.0.0.1"),
        ),
        (by_socket, None),
    ];
    if server.has_ipv6 {
        rows.extend([
            (format!("postgres://postgres:p@[::1]:{port}/postgres"), Some("::1")),
            (
                format!("postgres://postgres:p@[::1]:{port},nobody.test/?sslmode=require"),
                Some("::1"),
            ),
            (format!("postgres:///?host=::1&port={port}&user=postgres"), Some("::1")),
            (format!("postgres:///?hostaddr=::1&port={port}&user=postgres"), Some("::1")),
        ]);
    }
    for (url, address) in rows {
        let (_, found) = session(&url).await.unwrap_or_else(|error| panic!("{url}: {error}"));
        assert_eq!(found.as_deref(), address, "{url}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_certificate_of_the_server_is_held_against_what_was_asked() {
    let Some(server) = serve() else {
        println!("not run: a Postgres with other settings must be one of our own");
        return;
    };
    let ours = server.files.path("ca.pem").display().to_string();
    let other = server.files.path("other.pem").display().to_string();
    fs::write(&other, Authority::new().pem()).unwrap();
    let with = |mode: &str, authority: &str| format!("sslmode={mode}&sslrootcert={authority}");
    let rows = [
        ("localhost", with("verify-full", &ours), Ok(true)),
        ("localhost", with("verify-full", &other), Err("invalid peer certificate")),
        ("127.0.0.1", with("verify-full", &ours), Err("not valid for name")),
        ("127.0.0.1", with("verify-ca", &ours), Ok(true)),
        ("127.0.0.1", with("verify-ca", &other), Err("invalid peer certificate")),
        ("127.0.0.1", with("require", &ours), Ok(true)),
        ("127.0.0.1", with("require", &other), Err("invalid peer certificate")),
        ("127.0.0.1", "sslmode=require".to_owned(), Ok(true)),
        ("127.0.0.1", String::new(), Ok(true)),
        ("127.0.0.1", "sslmode=disable".to_owned(), Ok(false)),
    ];
    for (host, query, expected) in rows {
        let url = format!("postgres://postgres@{host}:{}/postgres?{query}", server.port);
        match (session(&url).await, expected) {
            (Ok((by_tls, _)), Ok(expected)) => assert_eq!(by_tls, expected, "{url}"),
            (Err(said), Err(expected)) => assert!(said.contains(expected), "{url}: {said}"),
            (found, _) => panic!("{url}: {found:?}"),
        }
    }
    // A socket has no TLS, so there is nothing to hold against a certificate.
    let socket = format!("{}&port={}&", server.process.url("postgres"), server.port);
    let asked = session(&(socket + &with("verify-full", &ours))).await.unwrap();
    assert_eq!(asked, (false, None));

    let url = format!("postgres://postgres@127.0.0.1:{}/postgres?", server.port);
    let migrate = |query: &str| {
        let url = format!("{url}{query}");
        jeton().args(["migrate", "--database-url", &url]).output().unwrap()
    };
    let refused = complaint(&migrate(&with("require", &other)));
    assert!(refused.contains("invalid peer certificate"), "{refused}");
    assert!(migrate(&with("require", &ours)).status.success());
}
