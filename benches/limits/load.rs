//! Load by `jeton bench`, and what it reports.

use std::{net::SocketAddr, process::Command};

use serde_json::Value;

use crate::process::jeton;

/// A server under load.
pub(crate) struct Target {
    pub(crate) grpc: SocketAddr,
    pub(crate) http: SocketAddr,
    pub(crate) pid: u32,
    pub(crate) postgres_pid: Option<u32>,
    /// The database in which the clients are registered.
    pub(crate) database: Vec<String>,
}

/// What a run showed.
#[derive(Debug, Clone)]
pub(crate) struct Seen(Value);

impl Seen {
    pub(crate) fn get(&self, name: &str) -> f64 {
        self.0[name].as_f64().unwrap_or_else(|| panic!("no {name} in {}", self.0))
    }
}

impl Target {
    /// The command that loads it so for some seconds.
    pub(crate) fn command(&self, profile: &str, more: &[&str]) -> Command {
        let mut bench = jeton("bench");
        bench.args([profile, "--json", "--server", &format!("http://{}", self.grpc)]);
        bench.args(["--server-pid", &self.pid.to_string()]).args(&self.database);
        if let Some(pid) = self.postgres_pid {
            bench.args(["--postgres-pid", &pid.to_string()]);
        }
        if !more.contains(&"--seconds") {
            bench.args(["--seconds", "2"]);
        }
        bench.args(more);
        bench
    }

    pub(crate) fn load(&self, profile: &str, more: &[&str]) -> Seen {
        read(&mut self.command(profile, more))
    }

    /// The same over HTTP.
    pub(crate) fn load_http(&self, profile: &str) -> Seen {
        self.load(profile, &["--http", &format!("http://{}", self.http)])
    }
}

pub(crate) fn read(command: &mut Command) -> Seen {
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    Seen(serde_json::from_slice(&output.stdout).unwrap())
}
