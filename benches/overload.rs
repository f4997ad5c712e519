//! What a flood does to those who behave: a node on the embedded database, two threads of load.
//!
//! `cargo bench --bench overload` prints, each beside its measure in the same run:
//! - flood: what 500 wrong secrets at once do to introspection, to whom is turned away, to memory;
//! - silence: what 5,000 silent connections do to a caller, and how long the node takes to stop;
//! - refusals: how long a wrong secret, an unknown client and a disabled client take to be refused,
//!   with the hash queue empty and full: the medians must not tell them apart. A quarter of an hour.
//!
//! With `-- flood` it is the flood alone.

#![expect(clippy::unwrap_used, reason = "a benchmark that cannot run may panic")]
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "what it prints is the result")]

#[expect(dead_code, reason = "the other benchmark counts the time of the processor")]
#[path = "shared/process.rs"]
mod process;

use std::{
    collections::BTreeSet,
    env,
    net::Ipv4Addr,
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use jeton::{
    domain::{
        About, Actor, ClientId, ClientQuota, ClientState, GrantType, HashCost, OsRandom,
        SystemClock, TokenLifetime,
    },
    pb::v1::{
        ClientAuthentication, ClientCredentialsGrant, IntrospectTokenRequest, IssueTokenRequest,
        issue_token_request::Grant, token_service_client::TokenServiceClient,
    },
    registry::{NewClient, NewSecret, Registry},
    store::SqliteStore,
};
use process::{Process, register, serve};
use tokio::{net::TcpStream, task::JoinSet};
use tonic::{
    Code,
    transport::{Channel, Endpoint},
};

/// For each way of not being authenticated.
const SAMPLES: usize = 2_000;
/// Failures that each client has free.
const TRIES: usize = 5;
/// Longer than a hashing thread rests after a wrong secret.
const REST: Duration = Duration::from_millis(100);
/// Of a source that is not slowed.
const BETWEEN_GUESSES: Duration = Duration::from_millis(2);
const SETTLED: Duration = Duration::from_secs(4);
const WRONG_AT_ONCE: usize = 500;
const SILENT: usize = 5_000;

fn main() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let arguments: Vec<String> = env::args().collect();
    match arguments.iter().position(|argument| argument == "--attack") {
        Some(at) => runtime.block_on(attack(&arguments[at + 1], &arguments[at + 2])),
        None => runtime.block_on(measure()),
    }
}

/// Keeps so many wrong secrets under way, each with a name of its own, until it is killed.
async fn attack(address: &str, secret: &str) {
    let client = TokenServiceClient::connect(format!("http://{address}")).await.unwrap();
    let mut guesses = JoinSet::new();
    for number in 0.. {
        let (mut client, client_secret) = (client.clone(), secret.to_owned());
        let client_id = format!("unknown-{number}");
        let authentication = ClientAuthentication { client_id, client_secret };
        guesses.spawn(async move { issue(&mut client, authentication).await });
        if guesses.len() >= WRONG_AT_ONCE {
            guesses.join_next().await.unwrap().unwrap();
        }
    }
}

struct Bench {
    flags: Vec<String>,
    _directory: tempfile::TempDir,
    good: ClientAuthentication,
    /// Many, since a client that failed five times has to wait.
    active: Vec<ClientAuthentication>,
    disabled: Vec<ClientAuthentication>,
    /// Of another client: its tag is right, so it reaches the hash.
    foreign: ClientAuthentication,
}

async fn measure() {
    let directory = tempfile::tempdir().unwrap();
    let flags = vec!["--data-dir".to_owned(), directory.path().display().to_string()];
    let good = register("good", &flags);
    let foreign = register("foreign", &flags);
    progress("the making of clients");
    let store = SqliteStore::in_directory(directory.path(), 1, Duration::from_secs(5));
    let (store, clock) = (Arc::new(store), Arc::new(SystemClock));
    let (random, actor) = (Arc::new(OsRandom), Actor::operator("bench").unwrap());
    let registry = Registry::open(store, clock, random, HashCost::DEFAULT, actor).await;
    let registry = registry.unwrap();
    let (mut active, mut disabled) = (Vec::new(), Vec::new());
    for number in 0..SAMPLES / TRIES {
        active.push(client(&registry, &format!("active-{number}"), ClientState::Active).await);
        let name = format!("disabled-{number}");
        disabled.push(client(&registry, &name, ClientState::Disabled).await);
    }
    let bench = Bench { good, active, disabled, foreign, flags, _directory: directory };
    let wanted: Vec<String> = env::args().skip(1).filter(|given| !given.starts_with('-')).collect();
    let wants = |part: &str| wanted.is_empty() || wanted.iter().any(|name| name == part);
    if wants("flood") {
        bench.flood().await;
    }
    if wants("silence") {
        bench.silence().await;
    }
    if wants("refusals") {
        bench.refusals().await;
    }
}

async fn client(registry: &Registry, name: &str, state: ClientState) -> ClientAuthentication {
    let client_id = ClientId::parse(name).unwrap();
    let new = NewClient {
        client_id: Some(client_id.clone()),
        name: String::new(),
        grants: BTreeSet::from([GrantType::ClientCredentials]),
        scopes: BTreeSet::new(),
        default_scopes: None,
        audiences: BTreeSet::new(),
        default_audience: None,
        several_audiences: false,
        serves: BTreeSet::new(),
        token_lifetime: TokenLifetime::DEFAULT,
        quota: ClientQuota::UNLIMITED,
        about: About::default(),
    };
    let (_, secret) = registry.create_client(new, NewSecret::default()).await.unwrap();
    registry.set_client_state(&client_id, state).await.unwrap();
    ClientAuthentication { client_id: name.to_owned(), client_secret: secret.expose().to_owned() }
}

fn progress(what: &str) {
    eprintln!("measuring {what} …");
}

fn quantile(samples: &mut [Duration], percent: usize) -> Duration {
    samples.sort();
    samples[(samples.len() - 1) * percent / 100]
}

fn as_client(client_id: &str, of: &ClientAuthentication) -> ClientAuthentication {
    ClientAuthentication { client_id: client_id.to_owned(), ..of.clone() }
}

async fn issue(
    client: &mut TokenServiceClient<Channel>,
    authentication: ClientAuthentication,
) -> (Duration, Code) {
    let began = Instant::now();
    let asked = IssueTokenRequest {
        grant: Some(Grant::ClientCredentials(ClientCredentialsGrant {})),
        client_authentication: Some(authentication),
        ..Default::default()
    };
    let code = client.issue_token(asked).await.map_or_else(|status| status.code(), |_| Code::Ok);
    (began.elapsed(), code)
}

async fn introspections(
    client: &mut TokenServiceClient<Channel>,
    authentication: &ClientAuthentication,
    enough: impl Fn(usize) -> bool,
) -> Vec<Duration> {
    let mut took = Vec::new();
    while !enough(took.len()) {
        let asked = IntrospectTokenRequest {
            token: "jta_x".to_owned(),
            client_authentication: Some(authentication.clone()),
            ..Default::default()
        };
        let began = Instant::now();
        client.introspect_token(asked).await.unwrap();
        took.push(began.elapsed());
    }
    took
}

impl Bench {
    fn node(&self, more: &[&str]) -> Process {
        Process::start(serve(&self.flags).args(more), "serving")
    }

    /// The three take turns, so that whatever else the machine does hits them alike.
    async fn refusals(&self) {
        println!("| refused | queue | p50 | of a wrong secret's |\n|---|---|--:|--:|");
        for (queue, places) in [("empty", "64"), ("full", "1")] {
            progress(&format!("refusals, queue {queue}"));
            let node = self.node(&["--hash-queue", places]);
            let stop = Arc::new(AtomicBool::new(false));
            let mut load = JoinSet::new();
            for number in 0..if places == "1" { 4 } else { 0 } {
                let (mut client, foreign) = (node.client().await, self.foreign.clone());
                let stop = Arc::clone(&stop);
                load.spawn(async move {
                    for round in 0.. {
                        if stop.load(Ordering::Relaxed) {
                            return;
                        }
                        let name = format!("load-{number}-{round}");
                        issue(&mut client, as_client(&name, &foreign)).await;
                    }
                });
            }
            let mut client = node.client().await;
            let mut took = [const { Vec::new() }; 3];
            for round in 0..SAMPLES {
                let number = round / TRIES;
                let presented = [
                    as_client(&self.active[number].client_id, &self.foreign),
                    as_client(&format!("unknown-{number}"), &self.foreign),
                    self.disabled[number].clone(),
                ];
                for (samples, authentication) in took.iter_mut().zip(presented) {
                    // After the rest that follows each of them; it has nothing to do with the next.
                    tokio::time::sleep(if places == "1" { Duration::ZERO } else { REST }).await;
                    samples.push(issue(&mut client, authentication).await.0);
                }
            }
            stop.store(true, Ordering::Relaxed);
            load.join_all().await;
            let medians = took.map(|mut samples| quantile(&mut samples, 50).as_secs_f64() * 1e3);
            for (name, median) in ["wrong secret", "unknown client", "disabled"].iter().zip(medians)
            {
                println!("| {name} | {queue} | {median:.3} ms | {:.3} |", median / medians[0]);
            }
        }
    }

    async fn flood(&self) {
        progress("a flood of wrong secrets");
        let node = self.node(&[]);
        let mut client = node.client().await;
        // Asked with the same pauses as during the flood: a caller that never rests finds its
        // cores awake.
        let mut calm = Vec::new();
        while calm.len() < 4_000 {
            calm.extend(introspections(&mut client, &self.good, |done| done >= 5).await);
            tokio::time::sleep(BETWEEN_GUESSES).await;
        }
        // It has served, and hashed once.
        let idle = node.memory_kib() / 1_024.0 - 19.0;
        // The attackers are a process of their own with the least right to the processor: what they
        // cost is theirs, and would be another machine's.
        let mut attackers = Command::new("nice")
            .args(["-n", "19"])
            .arg(env::current_exe().unwrap())
            .args(["--attack", &node.address.to_string(), &self.foreign.client_secret])
            .spawn()
            .unwrap();
        // From elsewhere, and not so many in a second that this source is slowed as well: what
        // finds no place is turned away at once.
        let elsewhere = Endpoint::from_shared(format!("http://{}", node.address)).unwrap();
        let elsewhere = elsewhere.local_address(Some(Ipv4Addr::new(127, 0, 0, 2).into()));
        let probe = TokenServiceClient::new(elsewhere.connect().await.unwrap());
        let mut guesses = JoinSet::new();
        let (mut during, mut shed) = (Vec::new(), Vec::new());
        let (mut memory, mut number) = (idle, 0);
        // The first get places by how long a hash took before the flood, and some wait in vain.
        tokio::time::sleep(SETTLED).await;
        while shed.len() < 1_000 {
            number += 1;
            let (mut probe, authentication) =
                (probe.clone(), as_client(&format!("probe-{number}"), &self.foreign));
            guesses.spawn(async move { issue(&mut probe, authentication).await });
            while let Some(guessed) = guesses.try_join_next() {
                let (took, code) = guessed.unwrap();
                if code == Code::ResourceExhausted {
                    shed.push(took);
                }
            }
            during.extend(introspections(&mut client, &self.good, |done| done >= 5).await);
            memory = memory.max(node.memory_kib() / 1_024.0 - 19.0);
            tokio::time::sleep(BETWEEN_GUESSES).await;
        }
        drop(guesses);
        attackers.kill().unwrap();
        attackers.wait().unwrap();
        let (before, after) = (quantile(&mut calm, 99), quantile(&mut during, 99));
        println!("\n| {WRONG_AT_ONCE} wrong secrets at once | figure |\n|---|--:|");
        println!("| introspection p99, calm | {:.2} ms |", before.as_secs_f64() * 1e3);
        println!("| introspection p99, during | {:.2} ms |", after.as_secs_f64() * 1e3);
        println!("| ratio | {:.2} |", after.as_secs_f64() / before.as_secs_f64());
        println!(
            "| turned away after, p50 | {:.2} ms |",
            quantile(&mut shed, 50).as_secs_f64() * 1e3
        );
        println!(
            "| turned away after, p99 | {:.2} ms |",
            quantile(&mut shed, 99).as_secs_f64() * 1e3
        );
        println!("| memory beside one hash, before | {idle:.1} MiB |");
        println!("| memory beside one hash, most | {memory:.1} MiB |");
    }

    async fn silence(&self) {
        progress("silent connections");
        let most = (SILENT + 100).to_string();
        let mut node = self.node(&["--max-connections", &most, "--drain-timeout-seconds", "10"]);
        let mut client = node.client().await;
        let mut calm = introspections(&mut client, &self.good, |done| done >= 2_000).await;
        let mut silent = Vec::new();
        for _ in 0..SILENT {
            silent.push(TcpStream::connect(node.address).await.unwrap());
        }
        let mut during = introspections(&mut client, &self.good, |done| done >= 2_000).await;
        let began = Instant::now();
        let pid = node.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
        let status = node.child.wait().unwrap();
        let (before, after) = (quantile(&mut calm, 99), quantile(&mut during, 99));
        println!("\n| {SILENT} silent connections | figure |\n|---|--:|");
        println!("| introspection p99, without | {:.2} ms |", before.as_secs_f64() * 1e3);
        println!("| introspection p99, with | {:.2} ms |", after.as_secs_f64() * 1e3);
        println!("| ratio | {:.2} |", after.as_secs_f64() / before.as_secs_f64());
        println!("| SIGTERM to exit ({status}) | {} ms |", began.elapsed().as_millis());
        drop(silent);
    }
}
