//! Faults, and what callers are told while they last. Each is run on a node and a Postgres of its
//! own under load; the history of every call is then held against what can have been the truth.
//!
//! A short version runs with the other tests; `./test --faults` runs each many times and prints a
//! table. Failing seeds are printed: `JETON_FAULT_SEED` runs one again, and `JETON_FAULT` only the
//! faults whose name holds this text.

mod attacks;
mod audit;
mod caller;
mod cluster;
mod figures;
mod history;
mod logs;
mod model;
mod operator;
mod statements;
mod table;
mod world;

use std::{
    env,
    time::{Duration, Instant},
};

use rustix::process::Signal;
use sqlx::{Connection, PgConnection};

use self::{
    table::{Run, Sum, Table},
    world::{SETTINGS, Setup, Site, World},
};
use crate::support::{
    clock::Clock,
    postgres::{self, PrivateServer},
    replication::{Pair, Replication},
};

/// A fault from its beginning to its end.
#[derive(Clone, Copy, Debug)]
enum Fault {
    NodeKilled,
    NodePaused,
    NodeTerminated,
    DatabaseKilled,
    DatabasePaused,
    BackendsTerminated,
    ConnectionsGoSilent,
    DatabaseRefuses,
    ConnectionsExhausted,
    CallersGiveUp,
    WrongSecrets,
    StatementsCut,
    DiskFull,
    SlowClients,
    StreamsReset,
    HugeInput,
    NoDescriptors,
    LittleMemory,
    ManyCallers,
    LogReaderStandsStill,
    LogDiskFull,
    LogPipeClosed,
    SwitchedOver,
    FailedOver,
    AddressFlips,
    StandbyLags,
    StandbyGone,
    NodeClock(i64),
    DatabaseClock(i64),
}

/// Over a day, in seconds: there is no partition for it.
const THIRTY_ONE_HOURS: i64 = 31 * 3_600;

const FAULTS: [(Fault, &str, &str); 31] = [
    (Fault::NodeKilled, "M-01", "kill -9 of the node"),
    (Fault::NodePaused, "M-12", "node paused"),
    (Fault::NodeTerminated, "M-21", "SIGTERM under load"),
    (Fault::DatabaseKilled, "M-02", "kill -9 of the database"),
    (Fault::DatabasePaused, "M-03", "database paused"),
    (Fault::BackendsTerminated, "M-02", "backends terminated"),
    (Fault::ConnectionsGoSilent, "M-04", "connections go silent"),
    (Fault::DatabaseRefuses, "M-05", "database refuses"),
    (Fault::ConnectionsExhausted, "M-09", "no connection left"),
    (Fault::CallersGiveUp, "M-06", "callers give up"),
    (Fault::WrongSecrets, "M-16", "flood of wrong secrets"),
    (Fault::StatementsCut, "M-07", "cut at the k-th message"),
    (Fault::DiskFull, "M-08", "disk of the database full"),
    (Fault::SlowClients, "M-13", "300 slow clients"),
    (Fault::StreamsReset, "M-14", "streams opened and reset"),
    (Fault::HugeInput, "M-15", "bodies and headers of megabytes"),
    (Fault::NoDescriptors, "M-17", "no descriptor left"),
    (Fault::LittleMemory, "M-17", "64 MiB more, and huge input"),
    (Fault::ManyCallers, "M-18", "ten times the callers"),
    (Fault::LogReaderStandsStill, "M-30", "reader of the log stands still"),
    (Fault::LogDiskFull, "M-30", "disk of the log full"),
    (Fault::LogPipeClosed, "M-30", "pipe of the log closed"),
    (Fault::SwitchedOver, "M-29", "switchover"),
    (Fault::FailedOver, "M-29", "failover to a synchronous standby"),
    (Fault::AddressFlips, "M-29", "address flips between old and new primary"),
    (Fault::StandbyLags, "M-29", "address leads to a lagging standby"),
    (Fault::StandbyGone, "M-29", "synchronous standby gone, and back"),
    (Fault::NodeClock(THIRTY_ONE_HOURS), "M-11", "clock of the node +31 h, and back"),
    (Fault::NodeClock(-THIRTY_ONE_HOURS), "M-11", "clock of the node −31 h, and back"),
    (Fault::DatabaseClock(THIRTY_ONE_HOURS), "M-11", "clock of the database +31 h, and back"),
    (Fault::DatabaseClock(-THIRTY_ONE_HOURS), "M-11", "clock of the database −31 h, and back"),
];

impl Fault {
    /// Whether nothing is amiss but that there is too much to do, or that it is another time where
    /// the node is: then others shall be served.
    const fn shall_be_served(self) -> bool {
        matches!(
            self,
            Self::WrongSecrets
                | Self::SlowClients
                | Self::StreamsReset
                | Self::HugeInput
                | Self::ManyCallers
                | Self::LogReaderStandsStill
                | Self::LogDiskFull
                | Self::LogPipeClosed
                | Self::NodeClock(_)
        )
    }

    /// Where it can be made to happen, or what it wants for that.
    async fn setup(self) -> Result<Setup, &'static str> {
        const CLOCK: &str = "want of libfaketime, the package faketime";
        Ok(match self {
            Self::DiskFull => {
                let server = PrivateServer::on_a_small_disk(&SETTINGS);
                Setup::of(Site::One(server.ok_or("want of the right to mount a disk")?))
            }
            Self::LogDiskFull => {
                logs::on_a_small_disk().ok_or("want of the right to mount a disk")?;
                let site = Site::One(PrivateServer::start(&SETTINGS));
                Setup { has_log_disk: true, ..Setup::of(site) }
            }
            Self::SwitchedOver
            | Self::FailedOver
            | Self::AddressFlips
            | Self::StandbyLags
            | Self::StandbyGone => {
                Setup::of(Site::Pair(Pair::start(Replication::Synchronous, &SETTINGS).await))
            }
            Self::NodeClock(_) => {
                let clock = Clock::new().ok_or(CLOCK)?;
                let site = Site::One(PrivateServer::start(&SETTINGS));
                Setup { node_clock: Some(clock), ..Setup::of(site) }
            }
            Self::DatabaseClock(_) => {
                let clock = Clock::new().ok_or(CLOCK)?;
                let server = PrivateServer::start_in(&clock.environment(), &SETTINGS);
                Setup { database_clock: Some(clock), ..Setup::of(Site::One(server)) }
            }
            _ => Setup::of(Site::One(PrivateServer::start(&SETTINGS))),
        })
    }

    /// Makes it happen and end.
    async fn happen(self, world: &mut World) {
        match self {
            Self::NodeKilled => {
                world.node.child.kill().unwrap();
                world.restart_node();
            }
            Self::NodePaused => {
                world.signal_node(Signal::STOP);
                world.sleep(1_000).await;
                world.signal_node(Signal::CONT);
            }
            Self::NodeTerminated => {
                world.signal_node(Signal::TERM);
                world.restart_node();
            }
            Self::DatabaseKilled => world.server().signal_all(Signal::KILL),
            Self::DatabasePaused => {
                world.server().signal_all(Signal::STOP);
                world.sleep(1_500).await;
                world.server().signal_all(Signal::CONT);
            }
            Self::BackendsTerminated => terminate_backends(world).await,
            Self::ConnectionsGoSilent => {
                for _ in 0..3 {
                    world.proxy.kill_silently();
                    world.sleep(150).await;
                }
            }
            Self::DatabaseRefuses => {
                world.proxy.refuse(true);
                world.sleep(1_000).await;
                world.proxy.refuse(false);
            }
            Self::ConnectionsExhausted => exhaust_connections(world).await,
            Self::CallersGiveUp => {
                for round in 0..30 {
                    world.set_patience(Duration::from_millis(1 + round % 10));
                    world.sleep(30).await;
                }
                world.set_patience(Duration::from_millis(1_500));
            }
            Self::WrongSecrets => attacks::guess(world).await,
            Self::StatementsCut => {
                for number in 1..=12 {
                    for delivers_last in [false, true] {
                        world.proxy.cut_at(number, delivers_last);
                        world.sleep(40).await;
                    }
                }
                world.proxy.cut_at(0, false);
            }
            Self::DiskFull => {
                let ballast = world.server().fill_disk();
                world.sleep(1_500).await;
                drop(ballast);
            }
            Self::SlowClients => attacks::slow_clients(world).await,
            Self::StreamsReset => attacks::streams_reset(world).await,
            Self::HugeInput => attacks::huge_input(world).await,
            Self::NoDescriptors => attacks::no_descriptors(world).await,
            Self::LittleMemory => attacks::little_memory(world).await,
            Self::ManyCallers => attacks::many_callers(world).await,
            Self::LogReaderStandsStill => logs::stand_still(world).await,
            Self::LogDiskFull => logs::fill_disk(world).await,
            Self::LogPipeClosed => logs::close_pipe(world).await,
            _ => cluster::happen(self, world).await,
        }
    }
}

async fn terminate_backends(world: &World) {
    let mut admin = PgConnection::connect(&world.server().url("postgres")).await.unwrap();
    for _ in 0..10 {
        sqlx::query(
            "select pg_terminate_backend(pid) from pg_stat_activity
             where backend_type = 'client backend' and pid <> pg_backend_pid()",
        )
        .execute(&mut admin)
        .await
        .unwrap();
        world.sleep(50).await;
    }
}

/// Takes every connection that the server has, while those of the node are cut.
async fn exhaust_connections(world: &World) {
    let mut taken = Vec::new();
    let url = world.server().url("postgres");
    while let Ok(connection) = PgConnection::connect(&url).await {
        taken.push(connection);
    }
    world.proxy.kill_silently();
    world.sleep(1_000).await;
    for connection in taken {
        connection.close().await.unwrap();
    }
}

/// Runs a fault, or says for want of what it cannot be made to happen.
async fn run(fault: Fault, seed: u64) -> Result<Run, &'static str> {
    let mut world = World::new(seed, fault.setup().await?).await;
    // Once each kind of call has succeeded, a moment without a fault to compare with.
    world.recovery(Instant::now()).await;
    let calm = Instant::now();
    world.sleep(200 + seed % 100).await;
    let began = Instant::now();
    fault.happen(&mut world).await;
    let ended = Instant::now();
    let recovery = world.recovery(ended).await;
    let p99 = world.history.p99(began, ended);
    let goodput = world.history.goodput(began, ended) / world.history.goodput(calm, began);
    world.sleep(100).await;
    Ok(Run { settled: world.settle().await, recovery, p99, goodput })
}

fn number(name: &str) -> u64 {
    env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(1)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn under_every_fault_nothing_is_lost_and_nobody_is_told_a_lie() {
    if !postgres::is_installed() {
        println!("not run: a Postgres that can be killed must be one of our own");
        return;
    }
    let (first, rounds) = (number("JETON_FAULT_SEED"), number("JETON_FAULT_ROUNDS"));
    let (mut table, mut faulty) = (Table::default(), Vec::new());
    let wanted = env::var("JETON_FAULT").unwrap_or_default();
    for (fault, id, name) in FAULTS.into_iter().filter(|(_, _, name)| name.contains(&wanted)) {
        let mut sum = Sum::default();
        for seed in first..first + rounds {
            let run = match run(fault, seed).await {
                Ok(run) => run,
                Err(want) => {
                    println!("{name}: not run, for {want}");
                    continue;
                }
            };
            faulty.extend(run.complaint().map(|why| format!("{name}, seed {seed}: {why}")));
            sum.add(&run);
        }
        // The long run takes a quarter of an hour: each row is told when it is there.
        println!("{}", table.row(id, name, fault.shall_be_served(), &sum));
    }
    println!("{table}");
    assert!(faulty.is_empty(), "{}", faulty.join("\n"));
}
