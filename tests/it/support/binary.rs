//! The binary itself, as people run it.

use std::{
    io::{BufRead, BufReader},
    net::{SocketAddr, TcpListener},
    process::{self, Child, Command, ExitStatus, Output, Stdio},
    sync::{
        Arc,
        atomic::{AtomicU8, AtomicU32, Ordering},
        mpsc::{self, Receiver},
    },
    thread,
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tokio::runtime::{Handle, RuntimeFlavor};

use super::{Database, everything};

/// The command `jeton`, with nothing of the environment that could configure it.
pub(crate) fn jeton() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_jeton"));
    command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
    // Any free ones: nodes that are tried side by side must not meet at the defaults.
    for name in ["JETON_GRPC_ADDR", "JETON_HTTP_ADDR", "JETON_PROBE_ADDR"] {
        command.env(name, "127.0.0.1:0");
    }
    command
}

/// Runs `jeton` with these arguments and the flags of the database, and blocks the thread meanwhile.
pub(crate) fn run(arguments: &[&str], database: &Database) -> Output {
    // The command may wait for a lock or an answer of a node in this process, which must go on.
    let flavor = Handle::try_current().map(|runtime| runtime.runtime_flavor());
    let is_alone = flavor.is_ok_and(|flavor| flavor == RuntimeFlavor::CurrentThread);
    assert!(!is_alone, "a test that runs commands needs #[tokio::test(flavor = \"multi_thread\")]");
    jeton().args(arguments).args(database.flags()).output().unwrap()
}

/// Runs a command that prints JSON.
pub(crate) fn run_json(arguments: &[&str], database: &Database) -> Value {
    let output = run(&[arguments, &["--json"]].concat(), database);
    everything::note_secrets_in(&String::from_utf8_lossy(&output.stdout));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// What a command said that had to fail: our name, what happened, how to mend it, and nothing of
/// how Rust prints its values.
pub(crate) fn complaint(output: &Output) -> String {
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && output.status.code().is_some(), "{said}");
    // With `--json` the last line is the error as JSON.
    if let Some(Ok(error)) = said.lines().last().map(serde_json::from_str::<Value>) {
        return format!("jeton: {}", error["error"]["message"].as_str().unwrap());
    }
    let complaint = said
        .lines()
        .skip_while(|line| !line.starts_with("jeton: ") && !line.starts_with("error: "));
    let complaint = complaint.collect::<Vec<_>>().join("\n");
    assert!(!complaint.is_empty(), "{said}");
    for trace in ["panicked", "Error {", "Some(", "RUST_BACKTRACE"] {
        assert!(!complaint.contains(trace), "{said}");
    }
    complaint
}

/// Whether the log of a node is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum LogReader {
    Reads,
    /// The pipe fills up.
    StandsStill,
    /// The pipe is closed, for good.
    IsGone,
}

/// A node in a process of its own. It is killed when it is dropped.
pub(crate) struct Served {
    pub(crate) child: Child,
    pub(crate) grpc: SocketAddr,
    pub(crate) http: SocketAddr,
    /// What it said until it served.
    pub(crate) said: String,
    /// What it said since, line by line.
    later: Receiver<String>,
    reader: Arc<AtomicU8>,
}

impl Served {
    /// Starts `jeton serve` and waits until it says that it serves.
    pub(crate) fn start(database: &Database, more: &[&str]) -> Self {
        Self::start_at((free_port(), free_port()), database, more)
    }

    /// Starts `jeton serve` on these ports for gRPC and HTTP.
    pub(crate) fn start_at(
        ports: (SocketAddr, SocketAddr),
        database: &Database,
        more: &[&str],
    ) -> Self {
        Self::start_at_as(&mut jeton(), ports, database, more)
    }

    /// The same, by a command that becomes `jeton`.
    pub(crate) fn start_at_as(
        command: &mut Command,
        ports: (SocketAddr, SocketAddr),
        database: &Database,
        more: &[&str],
    ) -> Self {
        Self::launch(command.arg("serve").args(more).args(database.flags()), ports, "serving")
    }

    /// Starts `jeton serve`, which may end before it serves. Then this is what it said.
    pub(crate) fn attempt(database: &Database, more: &[&str]) -> Result<Self, String> {
        let mut command = jeton();
        command.arg("serve").args(more).args(database.flags());
        Self::try_launch(&mut command, (free_port(), free_port()), "serving")
    }

    /// The same as `start`, by a command that becomes `jeton`.
    pub(crate) fn start_as(command: &mut Command, database: &Database, more: &[&str]) -> Self {
        Self::start_at_as(command, (free_port(), free_port()), database, more)
    }

    /// Starts `jeton dev` and waits until it has said everything.
    pub(crate) fn dev(database: &Database) -> Self {
        let ports = (free_port(), free_port());
        Self::launch(jeton().arg("dev").args(database.flags()), ports, "Serving until")
    }

    /// Starts `jeton shim`, which has no database and no use for an address for gRPC.
    pub(crate) fn shim(arguments: &[&str]) -> Self {
        let ports = (free_port(), free_port());
        Self::launch(jeton().arg("shim").args(arguments), ports, "serving")
    }

    fn launch(command: &mut Command, ports: (SocketAddr, SocketAddr), last: &str) -> Self {
        let launched = Self::try_launch(command, ports, last);
        launched.unwrap_or_else(|said| panic!("the node ended: {said}"))
    }

    fn try_launch(
        command: &mut Command,
        (grpc, http): (SocketAddr, SocketAddr),
        last: &str,
    ) -> Result<Self, String> {
        let (reader, writer) = std::io::pipe().unwrap();
        if everything::FOLDER.is_some() {
            // Beneath the flags of those tests that want a level of their own.
            command.env("JETON_LOG", "trace");
        }
        let mut child = command
            .env("JETON_PROBE_ADDR", "127.0.0.1:0")
            // By the environment, since a shim has no such flag.
            .env("JETON_GRPC_ADDR", grpc.to_string())
            .args(["--http-addr", &http.to_string()])
            .stdout(writer.try_clone().unwrap())
            .stderr(writer)
            .spawn()
            .unwrap();
        // The command keeps the ends for writing, and would hold the pipe open for ever.
        command.stdout(Stdio::null()).stderr(Stdio::null());
        let log = format!("log-of-process-{}", child.id());
        let kept = move |line: &String| everything::keep(&log, line);
        let mut lines = BufReader::new(reader).lines().map_while(Result::ok).inspect(kept);
        let mut said = String::new();
        while !said.lines().last().unwrap_or_default().contains(last) {
            let Some(line) = lines.next() else {
                child.wait().unwrap();
                return Err(said);
            };
            said.push_str(&line);
            said.push('\n');
        }
        let (tell, later) = mpsc::channel();
        let reader = Arc::new(AtomicU8::new(LogReader::Reads as u8));
        let state = Arc::clone(&reader);
        thread::spawn(move || {
            loop {
                match state.load(Ordering::Relaxed) {
                    state if state == LogReader::IsGone as u8 => return,
                    state if state == LogReader::StandsStill as u8 => {
                        thread::park_timeout(Duration::from_millis(5));
                    }
                    _ => match lines.next().map(|line| tell.send(line + "\n")) {
                        Some(Ok(())) => {}
                        _ => return,
                    },
                }
            }
        });
        Ok(Self { child, grpc, http, said, later, reader })
    }

    /// Where it serves operators, which it has said.
    pub(crate) fn probes(&self) -> SocketAddr {
        let (_, said) = self.said.rsplit_once("probes=").unwrap();
        said.split_whitespace().next().unwrap().parse().unwrap()
    }

    /// Reads what it says up to a line that holds this text, and returns all of that.
    pub(crate) fn until(&self, text: &str) -> String {
        let mut said = String::new();
        while !said.lines().last().unwrap_or_default().contains(text) {
            let Ok(line) = self.later.recv_timeout(Duration::from_secs(30)) else {
                panic!("it ended, or does not say `{text}`: {said}")
            };
            said.push_str(&line);
        }
        said
    }

    /// From now on its log is read in this way.
    pub(crate) fn set_log_reader(&self, reader: LogReader) {
        self.reader.store(reader as u8, Ordering::Relaxed);
    }

    /// Sends it a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Waits until it has ended by itself.
    pub(crate) async fn ended(&mut self, limit: Duration) -> ExitStatus {
        let ended = async {
            loop {
                if let Some(status) = self.child.try_wait().unwrap() {
                    return status;
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(limit, ended).await.expect("it does not end")
    }

    /// Kills it, and returns everything that it ever said and that was not read before.
    pub(crate) fn end(mut self) -> String {
        let _ = self.child.kill();
        self.said.clone() + &self.later.iter().collect::<String>()
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// An address that nobody uses. It is below the range from which the system gives ports, since
/// those of that range may be given to another test before ours is bound.
pub(crate) fn free_port() -> SocketAddr {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let first = process::id().wrapping_mul(97);
    loop {
        let number = first.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed)) % 12_000;
        let port = u16::try_from(20_000 + number).unwrap();
        if let Ok(listener) = TcpListener::bind(("127.0.0.1", port)) {
            return listener.local_addr().unwrap();
        }
    }
}
