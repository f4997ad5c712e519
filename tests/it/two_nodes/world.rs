//! Two nodes on one Postgres of their own, each by a proxy of its own, and what befalls them. The
//! Postgres has a synchronous standby, so that the primary can change and nothing is lost.

use std::time::Duration;

use rustix::process::{Signal, kill_process};
use tokio::task::block_in_place;

use super::{Race, actor::Dice};
use crate::support::{
    Database,
    binary::{Served, free_port},
    proxy::Proxy,
    replication::{Pair, Replication},
};

/// The cheapest hash that a node takes, which is not what is tried here; no line a request; and
/// a lease that leaves time for more faults.
const NODE: [&str; 8] = [
    "--argon2-memory-kib",
    "7168",
    "--argon2-passes",
    "5",
    "--log",
    "jeton=info",
    "--lease-ms",
    "1000",
];

/// So that others are told meanwhile that a change is acknowledged, and ask the node that was away.
const LONGER_THAN_A_LEASE: Duration = Duration::from_millis(1_800);

/// A fault from its beginning to its end.
#[derive(Clone, Copy, Debug)]
pub(super) enum Fault {
    NodeKilled,
    NodePaused,
    ConnectionsCut,
    ConnectionsGoSilent,
    NodeCutOff,
    DatabaseRestarted,
    DatabaseCrashes,
    /// In order; the address of one node goes on leading to the former primary for a while.
    SwitchedOver,
    /// The primary is killed, and the standby takes its place.
    FailedOver,
    /// The address of one node leads to a standby that stands still, and what it connected to
    /// there stays.
    StandbyLags,
    /// Commits wait for a standby that is gone.
    StandbyGone,
}

impl Fault {
    pub(super) const ALL: [Self; 11] = [
        Self::NodeKilled,
        Self::NodePaused,
        Self::ConnectionsCut,
        Self::ConnectionsGoSilent,
        Self::NodeCutOff,
        Self::DatabaseRestarted,
        Self::DatabaseCrashes,
        Self::SwitchedOver,
        Self::FailedOver,
        Self::StandbyLags,
        Self::StandbyGone,
    ];
}

struct Node {
    served: Served,
    proxy: Proxy,
    /// The database through the proxy.
    through: Database,
}

pub(super) struct World {
    pair: Pair,
    /// The way of the stewards, which leads to the primary at every time.
    sure: Proxy,
    nodes: [Node; 2],
}

impl World {
    pub(super) async fn start() -> Self {
        let pair = Pair::start(Replication::Synchronous, &["-c", "max_connections=100"]).await;
        let url = pair.primary().url("postgres");
        let sure = Proxy::before(&url).await;
        let nodes = [Node::start(&url).await, Node::start(&url).await];
        Self { pair, sure, nodes }
    }

    pub(super) fn addresses(&self) -> [std::net::SocketAddr; 2] {
        self.nodes.each_ref().map(|node| node.served.grpc)
    }

    /// The database, whichever server has it.
    pub(super) fn database(&self) -> Database {
        Database::at(self.sure.url.clone())
    }

    /// Makes a fault happen and end, and waits until both nodes issue tokens again.
    pub(super) async fn suffer(&mut self, fault: Fault, dice: &mut Dice, race: &Race) {
        let number = dice.below(2);
        let history = &race.shared.history;
        history.mark(&format!("{fault:?} begins, node {number} if it is one"));
        let node = &mut self.nodes[number];
        match fault {
            Fault::NodeKilled => {
                node.served.child.kill().unwrap();
                block_in_place(|| node.restart());
            }
            Fault::NodePaused => {
                node.served.signal(Signal::STOP);
                tokio::time::sleep(LONGER_THAN_A_LEASE).await;
                node.served.signal(Signal::CONT);
            }
            Fault::ConnectionsCut => node.proxy.cut(),
            Fault::ConnectionsGoSilent => node.proxy.kill_silently(),
            Fault::NodeCutOff => {
                node.proxy.refuse(true);
                tokio::time::sleep(LONGER_THAN_A_LEASE).await;
                node.proxy.refuse(false);
            }
            // Connections that are open are ended in order, or at once as in a crash.
            Fault::DatabaseRestarted => self.restart_database(Signal::INT).await,
            Fault::DatabaseCrashes => self.restart_database(Signal::QUIT).await,
            Fault::SwitchedOver => self.switch_over(number).await,
            Fault::FailedOver => {
                self.pair.fail_over().await;
                self.lead_to_primary(&[0, 1]);
                self.pair.rejoin().await;
            }
            Fault::StandbyLags => self.lag(number).await,
            Fault::StandbyGone => {
                self.pair.stop_standby().await;
                tokio::time::sleep(LONGER_THAN_A_LEASE).await;
                self.pair.start_standby().await;
            }
        }
        history.mark(&format!("{fault:?} is over"));
        let is_over = race.both_issue(Duration::from_mins(1)).await;
        assert!(is_over, "the nodes do not recover by themselves from {fault:?}");
        history.mark("both nodes issue tokens");
    }

    /// The addresses of the stewards and of these nodes lead to the primary.
    fn lead_to_primary(&self, nodes: &[usize]) {
        let url = self.pair.primary().url("postgres");
        self.sure.lead_to(&url);
        for &number in nodes {
            self.nodes[number].proxy.lead_to(&url);
        }
    }

    async fn switch_over(&mut self, late: usize) {
        self.pair.switch_over().await;
        self.lead_to_primary(&[1 - late]);
        self.pair.rejoin().await;
        tokio::time::sleep(LONGER_THAN_A_LEASE).await;
        self.lead_to_primary(&[0, 1]);
    }

    async fn lag(&self, number: usize) {
        self.pair.pause_replay().await;
        let proxy = &self.nodes[number].proxy;
        proxy.lead_to(&self.pair.standby().url("postgres"));
        proxy.cut();
        tokio::time::sleep(LONGER_THAN_A_LEASE).await;
        self.lead_to_primary(&[number]);
        tokio::time::sleep(LONGER_THAN_A_LEASE).await;
        self.pair.resume_replay().await;
    }

    /// Ends the database by this signal, and waits until another has taken its place.
    async fn restart_database(&self, signal: Signal) {
        let before = self.pair.primary().pid();
        kill_process(before.unwrap(), signal).unwrap();
        while [None, before].contains(&self.pair.primary().pid()) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

impl Node {
    async fn start(url: &str) -> Self {
        let proxy = Proxy::before(url).await;
        let through = Database::at(proxy.url.clone());
        let ports = (free_port(), free_port());
        let served = block_in_place(|| Served::start_at(ports, &through, &NODE));
        Self { served, proxy, through }
    }

    /// Waits for it to end, and starts it again where it was.
    fn restart(&mut self) {
        self.served.child.wait().unwrap();
        let ports = (self.served.grpc, self.served.http);
        self.served = Served::start_at(ports, &self.through, &NODE);
    }
}
