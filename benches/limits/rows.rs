//! The rows of the budget, measured in rounds.

use std::{
    env, fs,
    process::{Command, Stdio},
    time::Duration,
};

use serde_json::{Value, json};
use sqlx::{Connection, PgConnection};

use crate::{
    commits::Commits,
    empty,
    load::{Seen, Target},
    postgres,
    process::{Process, free_port, migrate, serve_at},
    yardsticks::{Statements, argon2, count_use},
};

const ROUNDS: usize = 5;

/// One row: what was measured in each round, and what it should be.
pub(crate) struct Row {
    number: &'static str,
    what: &'static str,
    ratios: Vec<f64>,
    budget: Budget,
}

#[derive(Clone, Copy)]
enum Budget {
    AtMost(f64),
    AtLeast(f64),
}

impl Row {
    fn median(&self) -> f64 {
        let mut ratios = self.ratios.clone();
        ratios.sort_by(f64::total_cmp);
        ratios[ratios.len() / 2]
    }

    fn low(&self) -> f64 {
        self.ratios.iter().copied().fold(f64::INFINITY, f64::min)
    }

    fn high(&self) -> f64 {
        self.ratios.iter().copied().fold(0.0, f64::max)
    }

    fn passes(&self) -> bool {
        match self.budget {
            Budget::AtMost(most) => self.median() <= most,
            Budget::AtLeast(least) => self.median() >= least,
        }
    }

    fn budget(&self) -> String {
        match self.budget {
            Budget::AtMost(most) => format!("≤ {most}"),
            Budget::AtLeast(least) => format!("≥ {least}"),
        }
    }

    pub(crate) fn cells(&self) -> [String; 6] {
        let verdict = if self.passes() { "pass" } else { "short" };
        [
            self.number.to_owned(),
            self.what.to_owned(),
            shown(self.median()),
            format!("{} – {}", shown(self.low()), shown(self.high())),
            self.budget(),
            verdict.to_owned(),
        ]
    }

    pub(crate) fn json(&self) -> (String, Value) {
        let row = json!({
            "what": self.what,
            "ratio": self.median(),
            "low": self.low(),
            "high": self.high(),
            "budget": self.budget(),
            "pass": self.passes(),
        });
        (self.number.to_owned(), row)
    }
}

/// A ratio with two digits after the point, or four if it is small.
fn shown(ratio: f64) -> String {
    if ratio < 0.1 { format!("{ratio:.4}") } else { format!("{ratio:.2}") }
}

/// CPU time of all threads of a process, in microseconds.
pub(crate) fn cpu_micros(pid: u32) -> f64 {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    let nanos = threads.filter_map(|thread| {
        let text = fs::read_to_string(thread.ok()?.path().join("schedstat")).ok()?;
        text.split(' ').next()?.parse::<f64>().ok()
    });
    nanos.sum::<f64>() / 1e3
}

/// What is measured: two servers, Postgres and the yardsticks.
struct Bench {
    empty: Target,
    node: Target,
    _processes: [Process; 2],
    node_flags: Vec<String>,
    url: String,
    _folder: tempfile::TempDir,
    statements: Statements,
    changes: Commits,
    idle_kib: [f64; 2],
}

/// The ratios of all rounds, by the numbers of their rows.
pub(crate) async fn measure() -> Vec<(&'static str, f64)> {
    let mut bench = Bench::start().await;
    let mut ratios = Vec::new();
    for round in 0..ROUNDS {
        eprintln!("round {} of {ROUNDS} …", round + 1);
        ratios.extend(bench.round().await);
    }
    ratios
}

/// The rows that were measured.
pub(crate) fn table(ratios: Vec<(&'static str, f64)>) -> Vec<Row> {
    let mut rows = rows();
    for (number, ratio) in ratios {
        let row = rows.iter_mut().find(|row| row.number == number);
        row.unwrap_or_else(|| panic!("no row {number}")).ratios.push(ratio);
    }
    rows.retain(|row| !row.ratios.is_empty());
    rows
}

#[rustfmt::skip]
fn rows() -> Vec<Row> {
    use Budget::{AtLeast, AtMost};
    let row = |number, what, budget| Row { number, what, ratios: Vec::new(), budget };
    vec![
        row("1a", "introspect, cached: CPU : E", AtMost(1.2)),
        row("1b", "introspect, cached: p99 : E's", AtMost(1.3)),
        row("1c", "counting the use of a secret : introspect, CPU", AtMost(0.01)),
        row("2a", "issue, 64 under way: server CPU : E", AtMost(1.7)),
        row("2b", "issue, 64 under way: Postgres CPU a token : U", AtMost(1.5)),
        row("3a", "issue alone: p50 : C", AtMost(1.3)),
        row("3b", "issue, 32 in flight: p50 : C of 32", AtMost(2.0)),
        row("3c", "issue, 512 under way: tokens a flush", AtLeast(32.0)),
        row("3d", "issue alone, slow disk: p50 : F", AtMost(1.3)),
        row("3e", "issue, 32 in flight, slow disk: p50 : F", AtMost(2.0)),
        row("4a", "first hashes: rate a hashing thread : A's", AtLeast(0.95)),
        row("4b", "memory after hashing : idle + one hash", AtMost(1.1)),
        row("5a", "issue beside bad secrets : its rate alone", AtLeast(0.8)),
        row("5b", "issue beside bad secrets: p99 : alone", AtMost(2.0)),
        row("6", "issue, first hash : verified, CPU", AtLeast(500.0)),
        row("7", "introspect, asked once: Postgres CPU : P", AtMost(1.3)),
        row("8a", "introspect over HTTP: CPU : H", AtMost(1.8)),
        row("8b", "introspect over HTTP: CPU : over gRPC", AtMost(1.15)),
        row("9a", "idle memory : E's", AtMost(4.0)),
        row("10a", "revocation, two nodes, 32 in flight: p99 in ms", AtMost(50.0)),
        row("10b", "revocation, a dead node: ms beyond its lease", AtMost(100.0)),
        row("10c", "revocations a second, one node, 128 in flight", AtLeast(5_000.0)),
        row("10d", "revocation alone: p50 : C", AtMost(9.0)),
        row("11a", "issue with 10,000,000 tokens on disk: rate : with none", AtLeast(0.95)),
        row("11b", "issue with 10,000,000 tokens on disk: p99 : with none", AtMost(1.05)),
        row("11c", "introspect from disk among them: rate : with none", AtLeast(0.95)),
        row("11d", "introspect from disk among them: p99 : with none", AtMost(1.05)),
    ]
}

impl Bench {
    async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let scratch = folder.path().join("scratch").display().to_string();
        let scratch = vec!["--data-dir".to_owned(), scratch];
        migrate(&scratch);
        let http = free_port();
        let mut command = Command::new(env::current_exe().unwrap());
        command.args([empty::ARGUMENT, "--http-addr", &http.to_string()]);
        let process = Process::start(&mut command, "listening");
        let empty = Target {
            grpc: process.address,
            http,
            pid: process.child.id(),
            postgres_pid: None,
            database: scratch,
        };

        let url = tokio::task::spawn_blocking(|| postgres::url("postgres")).await.unwrap();
        let mut connection = PgConnection::connect(&url).await.unwrap();
        let file: String = sqlx::query_scalar("select pg_read_file('postmaster.pid')")
            .fetch_one(&mut connection)
            .await
            .unwrap();
        let node_flags = vec!["--database-url".to_owned(), url.clone()];
        let (node, node_process) = start_node(&node_flags, &[]);
        let node = Target { postgres_pid: file.lines().next().unwrap().parse().ok(), ..node };
        let idle_kib = [process.memory_kib(), node_process.memory_kib()];
        let statements = Statements::on(&url).await;
        let changes = Commits::start().await;
        Self {
            empty,
            node,
            _processes: [process, node_process],
            node_flags,
            url,
            _folder: folder,
            statements,
            changes,
            idle_kib,
        }
    }

    async fn round(&mut self) -> Vec<(&'static str, f64)> {
        let mut ratios = vec![("9a", self.idle_kib[1] / self.idle_kib[0])];
        let e = self.empty.load("introspect", &[]);
        let introspect = self.node.load("introspect", &[]);
        let e_again = self.empty.load("introspect", &[]);
        let cpu = |seen: &Seen| seen.get("server_cpu_us");
        ratios.push(("1a", cpu(&introspect) / cpu(&e).midpoint(cpu(&e_again))));
        ratios.push(("1b", introspect.get("p99_ms") / e.get("p99_ms").min(e_again.get("p99_ms"))));
        ratios.push(("1c", count_use() / cpu(&introspect)));

        let inserted = self.statements.insert().await;
        let issue = self.node.load("issue", &[]);
        // What is compared stands side by side: the machine is not the same a minute later.
        let e = self.empty.load("introspect", &[]);
        ratios.push(("2a", cpu(&issue) / cpu(&e)));
        ratios.push(("2b", issue.get("postgres_cpu_us") / inserted));
        ratios.extend(self.durability().await);
        ratios.extend(self.hashing(cpu(&issue)));
        ratios.extend(self.flood().await);

        let selected = self.statements.select().await;
        let misses = self.node.load("misses", &["--tokens", "20000"]);
        ratios.push(("7", misses.get("postgres_cpu_us") / selected));

        let h = self.empty.load_http("introspect");
        let over_http = self.node.load_http("introspect");
        let over_grpc = self.node.load("introspect", &[]);
        ratios.push(("8a", cpu(&over_http) / cpu(&h)));
        ratios.push(("8b", cpu(&over_http) / cpu(&over_grpc)));
        ratios.extend(self.changes.round().await);
        ratios
    }

    async fn durability(&self) -> Vec<(&'static str, f64)> {
        let before = self.commits().await;
        let full = self.node.load("issue", &["--connections", "16", "--in-flight", "32"]);
        let flushes = (self.commits().await - before).max(1.0);
        // A second of warming up is in the count of commits.
        vec![("3c", full.get("requests") * 1.5 / flushes)]
    }

    /// Commits since the start, those of the follower of the feed among them.
    async fn commits(&self) -> f64 {
        // Backends report at most once a second.
        tokio::time::sleep(Duration::from_millis(1_200)).await;
        let mut connection = PgConnection::connect(&self.url).await.unwrap();
        let count: i64 = sqlx::query_scalar(
            "select xact_commit from pg_stat_database where datname = current_database()",
        )
        .fetch_one(&mut connection)
        .await
        .unwrap();
        count as f64
    }

    /// Each on a node of its own, that has verified nothing.
    fn hashing(&self, verified_cpu: f64) -> Vec<(&'static str, f64)> {
        let each = argon2();
        let (node, process) = start_node(&self.node_flags, &["--hash-threads", "1"]);
        let idle = process.memory_kib();
        let cold =
            node.load("cold", &["--clients", "100", "--connections", "2", "--seconds", "60"]);
        vec![
            ("4a", cold.get("requests_per_second") * each / 1e3),
            ("4b", process.memory_kib() / (idle + 19.0 * 1_024.0)),
            ("6", cold.get("server_cpu_us") / verified_cpu),
        ]
    }

    /// Between two measurements without a flood, twice: the rate alone drifts by a fifth from one
    /// minute to the next.
    async fn flood(&self) -> Vec<(&'static str, f64)> {
        let mut ratios = Vec::new();
        let mut before = self.node.load("issue", &[]);
        for _ in 0..2 {
            let beside = self.beside_flood().await;
            let after = self.node.load("issue", &[]);
            let alone = |name| before.get(name).midpoint(after.get(name));
            let rate = "requests_per_second";
            ratios.push(("5a", beside.get(rate) / alone(rate)));
            ratios.push(("5b", beside.get("p99_ms") / alone("p99_ms")));
            before = after;
        }
        ratios
    }

    /// The flood has the least right to the processor: it would come from other machines.
    async fn beside_flood(&self) -> Seen {
        let bad = self.node.command("bad-secrets", &["--seconds", "5", "--in-flight", "125"]);
        let mut flood = Command::new("nice");
        flood.args(["-n", "19"]).arg(bad.get_program()).args(bad.get_args()).env_clear();
        let mut flood = flood.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        tokio::time::sleep(Duration::from_millis(1_500)).await;
        let beside = self.node.load("issue", &[]);
        flood.wait().unwrap();
        beside
    }
}

pub(crate) fn start_node(flags: &[String], more: &[&str]) -> (Target, Process) {
    let http = free_port();
    let mut command = serve_at(&http.to_string(), flags);
    command.args(more);
    let process = Process::start(&mut command, "serving");
    let target = Target {
        grpc: process.address,
        http,
        pid: process.child.id(),
        postgres_pid: None,
        database: flags.to_vec(),
    };
    (target, process)
}
