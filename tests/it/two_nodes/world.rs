//! Two nodes on one Postgres of their own, each by a proxy of its own, and what befalls them.

use std::{sync::Arc, time::Duration};

use rustix::process::{Signal, kill_process};
use tokio::task::block_in_place;

use super::actor::{Actor, Dice, Secret};
use crate::support::{
    Database,
    binary::{Served, free_port},
    postgres::PrivateServer,
    proxy::Proxy,
};

/// The cheapest hash that a node takes, which is not what is tried here; no line a request; and
/// a lease that leaves time for more faults.
const NODE: [&str; 8] = [
    "--argon2-memory-kib",
    "7168",
    "--argon2-passes",
    "1",
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
}

impl Fault {
    pub(super) const ALL: [Self; 7] = [
        Self::NodeKilled,
        Self::NodePaused,
        Self::ConnectionsCut,
        Self::ConnectionsGoSilent,
        Self::NodeCutOff,
        Self::DatabaseRestarted,
        Self::DatabaseCrashes,
    ];
}

struct Node {
    served: Served,
    proxy: Proxy,
    /// The database through the proxy.
    through: Database,
}

pub(super) struct World {
    server: PrivateServer,
    nodes: [Node; 2],
}

impl World {
    pub(super) async fn start() -> Self {
        let server = PrivateServer::start(&["-c", "max_connections=100"]);
        let url = server.url("postgres");
        let nodes = [Node::start(&url).await, Node::start(&url).await];
        Self { server, nodes }
    }

    pub(super) fn addresses(&self) -> [std::net::SocketAddr; 2] {
        self.nodes.each_ref().map(|node| node.served.grpc)
    }

    /// The database itself.
    pub(super) fn database(&self) -> Database {
        Database::at(self.server.url("postgres"))
    }

    /// Makes a fault happen and end, and waits until both nodes issue tokens again.
    pub(super) async fn suffer(
        &mut self,
        fault: Fault,
        dice: &mut Dice,
        watcher: &Arc<Actor>,
        untouched: &Arc<Secret>,
    ) {
        let number = dice.below(2);
        let history = &watcher.shared.history;
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
        }
        history.mark(&format!("{fault:?} is over"));
        for number in 0..2 {
            let answers = async { while watcher.issue(number, untouched).await.is_none() {} };
            let answers = tokio::time::timeout(Duration::from_mins(1), answers).await;
            assert!(answers.is_ok(), "node {number} does not recover by itself from {fault:?}");
        }
        history.mark("both nodes issue tokens");
    }

    /// Ends the database by this signal, and waits until another has taken its place.
    async fn restart_database(&self, signal: Signal) {
        let before = self.server.pid();
        kill_process(before.unwrap(), signal).unwrap();
        while [None, before].contains(&self.server.pid()) {
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
