//! `jeton health`, and what a node tells its service manager, as containers and systemd use them.

use std::{
    net::{SocketAddr, TcpListener},
    os::unix::net::UnixDatagram,
    process::Output,
    time::Duration,
};

use rustix::process::Signal;

use crate::support::{
    Database, Kind,
    binary::{Served, complaint, free_port, jeton},
};

const PATIENCE: Duration = Duration::from_secs(30);

fn health(address: SocketAddr, more: &[&str]) -> Output {
    jeton().args(["health", "--addr", &address.to_string()]).args(more).output().unwrap()
}

/// What it printed while it succeeded, and nothing on standard error.
fn healthy(output: &Output) -> String {
    let refused = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && refused.is_empty(), "{refused}");
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// The one line that it printed when it failed, with exit status 1.
fn unhealthy(output: &Output) -> String {
    let said = complaint(output);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(output.stdout.is_empty() && said.lines().count() == 1, "{said}");
    assert_eq!(String::from_utf8_lossy(&output.stderr).lines().count(), 1, "{said}");
    said
}

#[tokio::test(flavor = "multi_thread")]
async fn health_is_the_readiness_of_the_node_as_exit_status() {
    for kind in Kind::BOTH {
        let database = Database::new(kind).await;
        let mut node = Served::start(&database, &["--pre-stop-seconds", "3600"]);
        let probes = node.probes();
        assert_eq!(healthy(&health(probes, &[])), "ready\n");
        assert_eq!(healthy(&health(probes, &["--live"])), "alive\n");

        // It drains: not ready, and no reason to restart it.
        node.signal(Signal::TERM);
        node.until("draining");
        let said = unhealthy(&health(probes, &[]));
        assert_eq!(said, "jeton: the node is not ready: starting or draining");
        assert_eq!(healthy(&health(probes, &["--live"])), "alive\n");

        // It hangs.
        node.signal(Signal::STOP);
        let said = unhealthy(&health(probes, &["--live", "--timeout", "1"]));
        assert!(said.contains("gave up after 1 s") && said.contains("--timeout"), "{said}");

        // It is gone.
        node.child.kill().unwrap();
        node.child.wait().unwrap();
        let said = unhealthy(&health(probes, &[]));
        assert!(said.contains("--probe-addr") && said.contains(&probes.to_string()), "{said}");
    }
}

/// In a container the probe listener is bound to all addresses, and the variable of the node is
/// that of the command too.
#[tokio::test(flavor = "multi_thread")]
async fn health_finds_the_listener_that_the_environment_and_the_file_name() {
    let database = Database::new(Kind::Sqlite).await;
    let node = Served::start(&database, &[]);
    let everywhere = format!("0.0.0.0:{}", node.probes().port());
    let output = jeton().arg("health").env("JETON_PROBE_ADDR", &everywhere).output().unwrap();
    assert_eq!(healthy(&output), "ready\n");

    let file = database.dir.path().join("jeton.toml");
    std::fs::write(&file, format!("probe_addr = \"{everywhere}\"\n")).unwrap();
    let mut command = jeton();
    command.args(["health", "--config"]).arg(&file).env_remove("JETON_PROBE_ADDR");
    assert_eq!(healthy(&command.output().unwrap()), "ready\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn health_of_another_listener_is_refused() {
    let database = Database::new(Kind::Sqlite).await;
    let node = Served::start(&database, &[]);
    let said = unhealthy(&health(node.http, &[]));
    assert!(said.contains("is no probe listener") && said.contains("404"), "{said}");
}

/// A service manager: a socket on which it hears what the service tells it.
struct Manager {
    socket: UnixDatagram,
    directory: tempfile::TempDir,
}

impl Manager {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let socket = UnixDatagram::bind(directory.path().join("notify")).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        Self { socket, directory }
    }

    fn hears(&self) -> String {
        let mut message = [0; 1024];
        let length = self.socket.recv(&mut message).unwrap();
        String::from_utf8(message[..length].to_vec()).unwrap()
    }

    fn has_heard_nothing(&self) -> bool {
        self.socket.set_nonblocking(true).unwrap();
        let heard = self.socket.recv(&mut [0; 1]);
        self.socket.set_nonblocking(false).unwrap();
        heard.is_err()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_service_manager_hears_when_a_node_is_ready_and_when_it_stops() {
    for kind in Kind::BOTH {
        let (manager, database) = (Manager::new(), Database::new(kind).await);
        let mut command = jeton();
        command.env("NOTIFY_SOCKET", manager.directory.path().join("notify"));
        let mut node = Served::start_as(&mut command, &database, &[]);
        assert_eq!(manager.hears(), "READY=1\n");
        assert_eq!(healthy(&health(node.probes(), &[])), "ready\n");
        node.signal(Signal::TERM);
        assert_eq!(manager.hears(), "STOPPING=1\n");
        assert!(node.ended(PATIENCE).await.success());
        assert!(manager.has_heard_nothing());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_service_manager_does_not_hear_that_a_node_without_its_database_is_ready() {
    let manager = Manager::new();
    // Nothing answers there, but something is bound to the port.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("postgres://jeton@{}/jeton", silent.local_addr().unwrap());
    let output = jeton()
        .args(["serve", "--start-timeout-seconds", "1", "--database-url", &url])
        .env("NOTIFY_SOCKET", manager.directory.path().join("notify"))
        .output()
        .unwrap();
    assert!(!output.status.success());
    assert!(manager.has_heard_nothing());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_service_manager_hears_of_a_shim_too() {
    let manager = Manager::new();
    let mut shim = jeton()
        .args(["shim", "--upstream", "http://127.0.0.1:1", "--http-addr"])
        .arg(free_port().to_string())
        .env("NOTIFY_SOCKET", manager.directory.path().join("notify"))
        .spawn()
        .unwrap();
    assert_eq!(manager.hears(), "READY=1\n");
    rustix::process::kill_process(rustix::process::Pid::from_child(&shim), Signal::TERM).unwrap();
    assert_eq!(manager.hears(), "STOPPING=1\n");
    assert!(shim.wait().unwrap().success());
}
