//! `jeton bench`: puts a running node under load and reports throughput, latency and CPU time.

mod account;
mod caller;
mod crowd;
mod load;
mod picture;
mod report;
mod work;

use std::{
    fs,
    io::{self, IsTerminal},
    path::PathBuf,
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use anyhow::{Context, ensure};
use clap::Args;
use serde_json::json;

use self::{
    account::Postgres,
    caller::Caller,
    load::{Outcome, Progress},
    report::{Earlier, Report},
    work::Profile,
};
use super::{arguments::Reading, links, output, server::Server};
use crate::config::Argon2;

#[derive(Debug, Args)]
#[command(after_help = "\
The load is a closed loop: a fixed number of callers with one call in flight each. Everything else
on the machine competes with it, so compare the CPU time per request and not the rate.

Examples:
  jeton bench introspect --seconds 5
  jeton bench revoke --tokens 2000
  jeton bench issue --json > before.json
  jeton bench issue --compare before.json")]
pub(super) struct Bench {
    /// Kind of load
    profile: Profile,

    #[command(flatten)]
    server: Server,

    /// Call this URL over HTTP instead, without TLS; gRPC is still used for preparation
    #[arg(long, value_name = "URL")]
    http: Option<String>,

    /// Number of connections
    #[arg(long, value_name = "N", default_value_t = 4,
          value_parser = clap::value_parser!(u16).range(1..=1_000))]
    connections: u16,

    /// Concurrent calls on each connection; over HTTP each call has its own connection
    #[arg(long, value_name = "N", default_value_t = 16,
          value_parser = clap::value_parser!(u16).range(1..=1_000))]
    in_flight: u16,

    /// Duration in seconds, after a warm-up of one second
    #[arg(long, value_name = "S", default_value_t = 10,
          value_parser = clap::value_parser!(u64).range(1..=3_600))]
    seconds: u64,

    /// Number of clients that call; they are registered before the run and deleted after it
    ///
    /// Above 1000, their secrets are hashed at the lowest cost, because each real hash takes about
    /// 15 ms.
    #[arg(long, value_name = "N", default_value_t = 1,
          value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    clients: u32,

    /// Number of tokens for the profiles `misses` and `revoke`, which use each token once
    #[arg(long, value_name = "N", default_value_t = 10_000,
          value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    tokens: u32,

    /// Process id of the node, to measure its CPU time and memory; on this machine only
    #[arg(long, value_name = "PID")]
    server_pid: Option<u32>,

    /// Process id of the Postgres server, to measure its CPU time and that of its backends
    ///
    /// Found by itself if the server runs on this machine.
    #[arg(long, value_name = "PID")]
    postgres_pid: Option<u32>,

    /// Draw the distribution of latencies into an SVG file
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,

    /// Compare with an earlier run of the same profile, whose JSON is in this file
    #[arg(long, value_name = "FILE", conflicts_with = "json")]
    compare: Option<PathBuf>,

    #[command(flatten)]
    on: Reading,

    #[command(flatten)]
    argon2: Argon2,
}

/// CPU time of the node and of Postgres at one moment; `None` if unknown.
#[derive(Clone, Copy)]
struct Account {
    server: Option<Duration>,
    postgres: Option<Duration>,
}

impl Bench {
    pub(super) async fn run(self) -> anyhow::Result<()> {
        links::check_url(self.on.database.links, "--server", &self.server.url)?;
        if let Some(http) = &self.http {
            links::check_url(self.on.database.links, "--http", http)?;
        }
        let earlier = self.compare.as_ref().map(|path| Earlier::read(path, self.profile));
        let earlier = earlier.transpose()?;
        let cost = self.argon2.cost()?;
        let count = usize::try_from(self.clients)?;
        let connect = |server: &str, is_http, connections: u16, in_flight: u16| {
            let (server, ca) = (server.to_owned(), self.server.tls_ca.clone());
            async move {
                let (connections, in_flight) = (connections.into(), in_flight.into());
                Caller::connect(&server, ca.as_deref(), is_http, connections, in_flight).await
            }
        };
        // Connect before registering clients, so that a wrong URL leaves nothing behind.
        self.server.connect(self.on.database.links).await?;
        let preparing = connect(&self.server.url, false, 1, 32).await?;
        let callers = match &self.http {
            Some(http) => connect(http, true, self.connections, self.in_flight).await?,
            None => connect(&self.server.url, false, self.connections, self.in_flight).await?,
        };

        let crowd = crowd::register(&self.on.database, cost, count).await?;
        let postgres = Postgres::find(self.postgres_pid, crowd.store()).await;
        let asked = self.ask(&crowd, &preparing, &callers, postgres).await;
        crowd.delete().await?;
        let (outcome, before, after) = asked?;

        if let Some(path) = &self.svg {
            let title = format!("{:?}, {} answers", self.profile, outcome.latencies.len());
            fs::write(path, picture::svg(&outcome.latencies, &title))
                .with_context(|| format!("{} cannot be written", path.display()))?;
        }
        let report = self.report(&outcome, before, after);
        match earlier {
            _ if self.on.format.json => report.print_json()?,
            Some(earlier) => report.print_beside(&earlier),
            None => report.print_table(|name| match (name, postgres) {
                ("postgres_cpu_us", Postgres::Elsewhere) => "not on this machine",
                _ => "-",
            }),
        }
        ensure!(
            self.profile == Profile::BadSecrets || outcome.answers.contains_key("OK"),
            "no call succeeded: does the node at {} use the database in which the clients of the \
             run were registered?",
            self.server.url
        );
        Ok(())
    }

    async fn ask(
        &self,
        crowd: &crowd::Crowd,
        preparing: &[Caller],
        callers: &[Caller],
        postgres: Postgres,
    ) -> anyhow::Result<(Outcome, Account, Account)> {
        let tokens = self.profile.tokens(usize::try_from(self.tokens)?);
        let tokens = crowd.issue(preparing, tokens).await?;
        let next = work::next(self.profile, crowd.credentials().to_vec(), tokens);
        if self.profile.has_warm_up() {
            let second = Duration::from_secs(1);
            load::run(callers, second, Arc::clone(&next), &Arc::default()).await?;
        }
        let progress = Arc::<Progress>::default();
        let told = tokio::spawn(tell(Arc::clone(&progress)));
        let before = self.account(postgres);
        let most = Duration::from_secs(self.seconds);
        let outcome = load::run(callers, most, next, &progress).await;
        told.abort();
        Ok((outcome?, before, self.account(postgres)))
    }

    fn account(&self, postgres: Postgres) -> Account {
        Account { server: self.server_pid.and_then(account::cpu_of), postgres: postgres.cpu() }
    }

    #[expect(clippy::cast_precision_loss, reason = "figures for people, to a few digits")]
    fn report(&self, outcome: &Outcome, before: Account, after: Account) -> Report {
        let requests = outcome.latencies.len();
        let failed: u64 =
            outcome.answers.iter().filter(|(code, _)| *code != "OK").map(|(_, count)| count).sum();
        let latency = |quantile| outcome.latencies.value_at_quantile(quantile) as f64 / 1e6;
        let each = |before: Option<Duration>, after: Option<Duration>| {
            let spent = after?.saturating_sub(before?);
            Some(rounded(spent.as_secs_f64() * 1e6 / (requests.max(1) as f64)))
        };
        let memory = self.server_pid.and_then(account::memory_of);
        let figures = [
            ("callers", json!(u32::from(self.connections) * u32::from(self.in_flight))),
            ("requests", json!(requests)),
            ("failed", json!(failed)),
            ("answers", json!(outcome.answers)),
            ("requests_per_second", json!(rounded(requests as f64 / outcome.took.as_secs_f64()))),
            ("p50_ms", json!(rounded(latency(0.5)))),
            ("p90_ms", json!(rounded(latency(0.9)))),
            ("p99_ms", json!(rounded(latency(0.99)))),
            ("p99.9_ms", json!(rounded(latency(0.999)))),
            ("max_ms", json!(rounded(latency(1.0)))),
            ("server_cpu_us", json!(each(before.server, after.server))),
            ("postgres_cpu_us", json!(each(before.postgres, after.postgres))),
            ("server_memory_mib", json!(memory.map(|bytes| rounded(bytes as f64 / 1_048_576.0)))),
        ];
        Report::new(self.profile, figures)
    }
}

/// Rounds to three decimal places: more would be noise.
fn rounded(value: f64) -> f64 {
    (value * 1_000.0).round() / 1_000.0
}

/// Prints the rate of answers each second if standard error is a terminal.
async fn tell(progress: Arc<Progress>) {
    if !io::stderr().is_terminal() {
        return;
    }
    let (began, mut before) = (Instant::now(), 0);
    loop {
        tokio::time::sleep(Duration::from_secs(1)).await;
        let answered = progress.answered.load(Ordering::Relaxed);
        let failed = progress.failed.load(Ordering::Relaxed);
        let seconds = began.elapsed().as_secs();
        output::progress(&format!("{seconds} s: {} a second, {failed} failed", answered - before));
        before = answered;
    }
}
