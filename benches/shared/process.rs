//! A server in a process of its own, and the kernel's account of it. Linux only.

use std::{
    fs,
    io::{BufRead, BufReader},
    net::{SocketAddr, TcpListener},
    process::{Child, Command, Stdio},
};

use jeton::pb::v1::{ClientAuthentication, token_service_client::TokenServiceClient};
use serde_json::Value;
use tonic::transport::Channel;

/// The kernel counts CPU time in hundredths of a second.
const TICK_MICROS: f64 = 10_000.0;

/// Registers a client, on a database that is made if there is none.
pub(crate) fn register(client_id: &str, flags: &[String]) -> ClientAuthentication {
    migrate(flags);
    let output = jeton("client")
        .args(["create", "--client-id", client_id, "--scope", "read", "--json"])
        .args(flags)
        .output()
        .unwrap();
    let created: Value = serde_json::from_slice(&output.stdout).unwrap();
    let text = |name: &str| created[name].as_str().unwrap().to_owned();
    ClientAuthentication { client_id: text("client_id"), client_secret: text("client_secret") }
}

/// Makes a database, if there is none.
pub(crate) fn migrate(flags: &[String]) {
    assert!(jeton("migrate").args(flags).output().unwrap().status.success());
}

pub(crate) fn jeton(command: &str) -> Command {
    let mut jeton = Command::new(env!("CARGO_BIN_EXE_jeton"));
    jeton.arg(command).env_clear();
    jeton
}

pub(crate) fn serve(flags: &[String]) -> Command {
    serve_at("127.0.0.1:0", flags)
}

/// A node whose HTTP face is at a known address.
pub(crate) fn serve_at(http: &str, flags: &[String]) -> Command {
    let mut serve = jeton("serve");
    serve.args(flags).args(["--http-addr", http]);
    serve
}

/// A server in a process of its own. It is killed when it is dropped.
pub(crate) struct Process {
    pub(crate) child: Child,
    pub(crate) address: SocketAddr,
}

impl Process {
    /// Starts it and waits until a line of what it says holds this word.
    pub(crate) fn start(command: &mut Command, word: &str) -> Self {
        let address = free_port();
        // Nodes that are measured side by side must not meet at the default.
        command.env("JETON_PROBE_ADDR", "127.0.0.1:0");
        command.args(["--grpc-addr", &address.to_string()]).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        assert!(lines.any(|line| line.unwrap().contains(word)), "the server ended");
        std::thread::spawn(move || lines.for_each(drop));
        Self { child, address }
    }

    pub(crate) async fn client(&self) -> TokenServiceClient<Channel> {
        TokenServiceClient::connect(format!("http://{}", self.address)).await.unwrap()
    }

    fn proc(&self, file: &str) -> String {
        fs::read_to_string(format!("/proc/{}/{file}", self.child.id())).unwrap()
    }

    pub(crate) fn memory_kib(&self) -> f64 {
        let status = self.proc("status");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }

    /// User and system time of all threads: fields 14 and 15 of proc(5), counted from the name,
    /// which may hold spaces.
    pub(crate) fn cpu_micros(&self) -> f64 {
        let stat = self.proc("stat");
        let (_, after_name) = stat.rsplit_once(") ").unwrap();
        let ticks = after_name.split(' ').skip(11).take(2).map(|text| text.parse::<u32>().unwrap());
        f64::from(ticks.sum::<u32>()) * TICK_MICROS
    }
}

/// A port that nobody has now.
pub(crate) fn free_port() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
