//! The process itself: its listeners beside the database, its limits, its log.

use std::{
    fs::{self, File},
    net::SocketAddr,
    process::{Command, Stdio},
    time::Duration,
};

use tokio::net::TcpStream;

use crate::support::http::get;
use crate::support::{
    Database, Kind,
    binary::{Served, free_port, jeton},
};

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_waits_for_its_database_is_alive_and_not_ready() {
    let (probes, dead) = (free_port(), free_port());
    let mut child = jeton()
        .args(["serve", "--grpc-addr", "127.0.0.1:0", "--http-addr", "127.0.0.1:0"])
        .args(["--probe-addr", &probes.to_string(), "--database-url"])
        .arg(format!("postgres://jeton@{dead}/jeton"))
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    while TcpStream::connect(probes).await.is_err() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(get(probes, "/livez").await.status, 200);
    assert_eq!(get(probes, "/readyz").await.status, 503);
    assert_eq!(get(probes, "/metrics").await.status, 200);
    child.kill().unwrap();
    child.wait().unwrap();
}

/// Such a node calls itself `localhost`, which no client on another machine does.
#[tokio::test(flavor = "multi_thread")]
async fn a_node_beyond_loopback_without_an_issuer_warns() {
    let database = Database::ready(Kind::Sqlite).await;
    let everywhere = |port: u16| SocketAddr::from(([0, 0, 0, 0], port));
    for (issuer, warns) in [(&[][..], true), (&["--issuer", "https://tokens.test"], false)] {
        let ports = (free_port(), everywhere(free_port().port()));
        let served = Served::start_at(ports, &database, &[&["--tls-self-signed"], issuer].concat());
        let said = served.end();
        assert_eq!(said.contains("no issuer is set") && said.contains("--issuer"), warns, "{said}");
    }
    let said = Served::start(&database, &["--tls-self-signed"]).end();
    assert!(!said.contains("no issuer is set"), "{said}");
}

// S8: a dump of the memory would hold what is in flight.
#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn a_node_leaves_no_core_dump_whatever_its_parent_allows() {
    let database = Database::new(Kind::Sqlite).await;
    let mut shell = Command::new("sh");
    shell.env_clear().args(["-c", "ulimit -c unlimited; exec \"$0\" \"$@\""]);
    shell.arg(env!("CARGO_BIN_EXE_jeton"));
    let served = Served::start_as(&mut shell, &database, &[]);
    let limits = fs::read_to_string(format!("/proc/{}/limits", served.child.id())).unwrap();
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
    let core: Vec<_> = core.split_whitespace().skip(4).take(2).collect();
    assert_eq!(core, ["0", "0"]);
}

// M-08: a full disk under the log costs no request.
#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_cannot_be_written_costs_no_request() {
    let database = Database::new(Kind::Sqlite).await;
    let (http, probes) = (free_port(), free_port());
    let mut child = jeton()
        .args(["serve", "--grpc-addr", "127.0.0.1:0", "--http-addr", &http.to_string()])
        .args(["--probe-addr", &probes.to_string()])
        .args(database.flags())
        .stderr(File::options().write(true).open("/dev/full").unwrap())
        .spawn()
        .unwrap();
    while TcpStream::connect(probes).await.is_err() || get(probes, "/readyz").await.status != 200 {
        assert!(child.try_wait().unwrap().is_none(), "it ended");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    for _ in 0..3 {
        let answer = get(http, "/.well-known/oauth-authorization-server").await;
        assert_eq!(answer.status, 200);
    }
    child.kill().unwrap();
    child.wait().unwrap();
}
