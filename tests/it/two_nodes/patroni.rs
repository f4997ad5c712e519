//! Two nodes before a cluster that Patroni keeps, with etcd and synchronous replication: switchovers
//! and crashes under the load of the races, held against their model.
//!
//! `./test --patroni SWITCHOVERS CRASHES` runs it. One node names both hosts and asks for the
//! primary, as libpq does; the address of the other leads to the member that says to be the primary,
//! as with a balancer, and connections stay where they are. Stewards go by such an address too.

mod cluster;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::task::{JoinHandle, block_in_place};

use self::cluster::Cluster;
use super::{Race, actor::Dice, number_of, seed};
use crate::support::{
    Database,
    binary::{Served, free_port},
    proxy::{Most, Proxy},
};

/// The cheapest hash that a node takes, and no line a request. All else is the default.
const NODE: [&str; 6] =
    ["--argon2-memory-kib", "7168", "--argon2-passes", "5", "--log", "jeton=info"];

/// By default a node has ten connections, and one for the feed.
const CONNECTIONS: u64 = 11;

/// How long the nodes may take to serve again; most of it is what Patroni takes to find a primary.
const RECOVERY: Duration = Duration::from_mins(3);

/// What happens to the cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Event {
    Switchover,
    /// The machine of the primary is away until another is the primary.
    PrimaryGone,
    /// Every process of the primary is killed, and Patroni sees it.
    PostgresKilled,
    /// Patroni is killed beside the primary, and started again.
    PatroniKilled,
    /// The machine of the synchronous standby is away for a while.
    StandbyGone,
}

impl Event {
    const CRASHES: [Self; 4] =
        [Self::PrimaryGone, Self::PostgresKilled, Self::StandbyGone, Self::PatroniKilled];

    const fn name(self) -> &'static str {
        match self {
            Self::Switchover => "switchover",
            Self::PrimaryGone => "kill -9 of Postgres and Patroni of the primary",
            Self::PostgresKilled => "kill -9 of Postgres of the primary",
            Self::PatroniKilled => "kill -9 of Patroni of the primary",
            Self::StandbyGone => "kill -9 of Postgres and Patroni of the standby",
        }
    }

    /// Makes it happen, from a cluster that is whole; it need not be whole afterwards.
    async fn happen(self, cluster: &Cluster, leader: usize) {
        let (primary, standby) = (&cluster.members[leader], &cluster.members[1 - leader]);
        match self {
            Self::Switchover => cluster.switch_over(leader).await,
            Self::PrimaryGone => {
                primary.go_away();
                cluster.until_not(leader).await;
                primary.come_back();
            }
            Self::PostgresKilled => primary.kill_postgres(),
            Self::PatroniKilled => primary.kill_patroni(),
            Self::StandbyGone => {
                standby.go_away();
                tokio::time::sleep(Duration::from_secs(3)).await;
                standby.come_back();
            }
        }
    }
}

/// So many switchovers and crashes, in an order of the dice.
fn events(switchovers: usize, crashes: usize, dice: &mut Dice) -> Vec<Event> {
    let mut left = vec![Event::Switchover; switchovers];
    left.extend(Event::CRASHES.into_iter().cycle().take(crashes));
    let mut events = Vec::new();
    while !left.is_empty() {
        events.push(left.swap_remove(dice.below(left.len())));
    }
    events
}

/// Addresses that lead to the primary, and follow it when it is another.
fn follow(cluster: &Arc<Cluster>, addresses: &[&Arc<Proxy>]) -> JoinHandle<()> {
    let cluster = Arc::clone(cluster);
    let addresses: Vec<_> = addresses.iter().map(|address| Arc::clone(address)).collect();
    tokio::spawn(async move {
        loop {
            if let Some(leader) = cluster.leader().await {
                for address in &addresses {
                    address.lead_to(&url_of(&cluster, leader));
                }
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    })
}

fn url_of(cluster: &Cluster, member: usize) -> String {
    format!("postgres://postgres@{}/postgres?sslmode=disable", cluster.members[member].postgres)
}

/// Where a proxy listens.
fn host(proxy: &Proxy) -> &str {
    let (_, rest) = proxy.url.split_once('@').unwrap();
    rest.split('/').next().unwrap()
}

/// A table of how long it took until both nodes issued tokens again.
fn table(took: &[(Event, Duration)]) -> String {
    let mut table =
        "| event | times | both nodes issue again after, p50 | worst |\n|---|--:|--:|--:|"
            .to_owned();
    for event in [Event::Switchover].into_iter().chain(Event::CRASHES) {
        let mut these: Vec<_> =
            took.iter().filter(|(other, _)| *other == event).map(|(_, took)| *took).collect();
        these.sort();
        let Some(worst) = these.last() else { continue };
        let p50 = these[(these.len() - 1) / 2];
        let row = format!("| {} | {} | {p50:.1?} | {worst:.1?} |", event.name(), these.len());
        table.push('\n');
        table.push_str(&row);
    }
    table
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes minutes and wants Patroni and etcd: ./test --patroni"]
async fn under_patroni_what_was_acknowledged_is_true_on_both_nodes() {
    assert!(cluster::is_installed(), "install Patroni, etcd and Postgres, or run ./test --patroni");
    let count = |name, default| usize::try_from(number_of(name).unwrap_or(default)).unwrap();
    let switchovers = count("JETON_PATRONI_SWITCHOVERS", 2);
    let crashes = count("JETON_PATRONI_CRASHES", 1);
    let seed = seed();
    println!("JETON_RACE_SEED={seed}");

    let cluster = Arc::new(Cluster::start().await);
    let leader = url_of(&cluster, cluster.until_whole().await);
    let hosts =
        [Proxy::before(&url_of(&cluster, 0)).await, Proxy::before(&url_of(&cluster, 1)).await];
    let (address, sure) =
        (Arc::new(Proxy::before(&leader).await), Arc::new(Proxy::before(&leader).await));
    let following = follow(&cluster, &[&address, &sure]);
    let by_hosts = format!(
        "postgres://postgres@{},{}/postgres?sslmode=disable&target_session_attrs=read-write",
        host(&hosts[0]),
        host(&hosts[1])
    );
    let databases = [Database::at(by_hosts), Database::at(address.url.clone())];
    let nodes = databases.each_ref().map(|database| {
        block_in_place(|| Served::start_at((free_port(), free_port()), database, &NODE))
    });
    let most = [Most::of(&[&hosts[0], &hosts[1]]), Most::of(&[&address])];

    let addresses = nodes.each_ref().map(|node| node.grpc);
    let race = Race::begin(seed, &Database::at(sure.url.clone()), addresses).await;
    let mut took = Vec::new();
    for event in events(switchovers, crashes, &mut Dice::of(seed, 3_000)) {
        let leader = cluster.until_whole().await;
        assert!(race.both_issue(RECOVERY).await, "the nodes do not issue before {event:?}");
        tokio::time::sleep(Duration::from_secs(1)).await;
        race.shared.history.mark(&format!("{event:?} begins"));
        let began = Instant::now();
        event.happen(&cluster, leader).await;
        let is_over = race.both_issue(RECOVERY).await;
        assert!(is_over, "the nodes do not recover by themselves from {event:?}");
        race.shared.history.mark("both nodes issue tokens");
        took.push((event, began.elapsed()));
    }
    cluster.until_whole().await;
    let report = race.end(&format!("{switchovers} switchovers and {crashes} crashes")).await;
    following.abort();
    println!("{}\n\n{}", table(&took), report.figures);
    assert!(report.lies.is_empty(), "JETON_RACE_SEED={seed}\n{}", report.lies);
    let most = most.map(|most| most.seen());
    println!("connections of the nodes at most: {most:?}");
    assert!(most.iter().all(|most| *most <= CONNECTIONS), "connections: {most:?}");
}
