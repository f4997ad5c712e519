//! A node on a Postgres of its own, with a proxy between them, under load.

use std::{
    process::Command,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use ::http::Request;
use jeton::{domain::TagKey, pb::v1::token_service_client::TokenServiceClient};
use rustix::process::{Pid, Signal, kill_process};
use tokio::task::JoinSet;
use tonic::transport::Channel;

use super::{
    audit,
    caller::{Caller, Credential, Dice, Held},
    figures::{self, Footprint, figure},
    history::History,
    logs,
    model::{self, Verdict},
    operator::{CLIENTS, Operator},
};
use crate::{
    secrecy::{
        self,
        search::{PASSWORD, first_hit},
    },
    support::{
        Database,
        binary::{Served, free_port, jeton},
        clock::Clock,
        http,
        postgres::PrivateServer,
        proxy::Proxy,
        replication::Pair,
    },
};

/// Few connections, and a log of changes that fits on a small disk.
pub(super) const SETTINGS: [&str; 6] =
    ["-c", "max_connections=20", "-c", "max_wal_size=8MB", "-c", "min_wal_size=2MB"];

/// Two of each client.
pub(super) const CALLERS: usize = 8;
/// How long a node may take to end.
const DRAIN: Duration = Duration::from_secs(5);
/// Short, so that a fault of a second fills them all.
const NODE: [&str; 8] = [
    "--database-connections",
    "6",
    "--database-wait-ms",
    "500",
    "--request-timeout-ms",
    "1000",
    "--drain-timeout-seconds",
    "5",
];

/// Where the database is.
pub(super) enum Site {
    One(PrivateServer),
    Pair(Pair),
}

impl Site {
    /// The server that has the database now.
    pub(super) const fn server(&self) -> &PrivateServer {
        match self {
            Self::One(server) => server,
            Self::Pair(pair) => pair.primary(),
        }
    }
}

/// What a world is made of.
pub(super) struct Setup {
    pub(super) site: Site,
    /// By which the node goes, if not by that of the machine.
    pub(super) node_clock: Option<Clock>,
    /// By which the database goes that is in the site.
    pub(super) database_clock: Option<Clock>,
    /// Whether the log of the node is on a disk of its own.
    pub(super) has_log_disk: bool,
}

impl Setup {
    pub(super) const fn of(site: Site) -> Self {
        Self { site, node_clock: None, database_clock: None, has_log_disk: false }
    }

    /// What becomes a node.
    fn command(&self) -> Command {
        let on_a_disk = self.has_log_disk.then(logs::on_a_small_disk).flatten();
        let mut command = on_a_disk.unwrap_or_else(jeton);
        let clock = self.node_clock.iter().flat_map(Clock::environment);
        command.envs(clock);
        command
    }
}

pub(super) struct World {
    setup: Setup,
    pub(super) proxy: Proxy,
    /// The way of the operator, which leads to the primary at every time.
    sure: Proxy,
    direct: Database,
    /// The database as the node sees it, through the proxy.
    through: Database,
    pub(super) node: Served,
    /// Its process, for those who watch it.
    pid: Arc<AtomicU32>,
    /// How the node is started, wherever.
    flags: Vec<&'static str>,
    /// What nodes said that have ended.
    log: String,
    pub(super) steady: Credential,
    pub(super) foreign_secret: String,
    pub(super) history: Arc<History>,
    footprint: Arc<Mutex<Footprint>>,
    /// Deadlines of the callers, in milliseconds.
    patience: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
    /// What callers hold, what they know, and how they forge.
    held: Vec<Arc<Mutex<Held>>>,
    known: Arc<Mutex<Vec<String>>>,
    tag_key: TagKey,
    dice: u64,
    callers: JoinSet<()>,
}

/// What a run showed.
pub(super) struct Settled {
    pub(super) verdict: Verdict,
    /// What cannot be of the audit trail (I10).
    pub(super) amiss: Vec<String>,
    pub(super) footprint: Footprint,
    /// How long the node took to end.
    pub(super) exit: Duration,
    /// Secrets and tokens that were looked for, in so many bytes, and where they were found.
    pub(super) canaries: usize,
    pub(super) searched: usize,
    pub(super) found: Vec<String>,
    pub(super) panics: usize,
}

impl World {
    pub(super) async fn new(seed: u64, setup: Setup) -> Self {
        let url = setup.site.server().url("postgres");
        let sure = Proxy::before(&url).await;
        let direct = match setup.site {
            Site::One(_) => Database::at(url.clone()),
            Site::Pair(_) => Database::at(sure.url.clone()),
        };
        let store = direct.migrated().await;
        let tag_key = store.installation().await.unwrap().tag_keys.current().clone();
        let history = Arc::<History>::default();
        let operator = Operator::new(store, Arc::clone(&history), seed).await;
        let proxy = Proxy::before(&url).await;
        let url = proxy.url.replace("postgres@", &format!("postgres:{PASSWORD}@"));
        let through = Database::at(url);
        // What a log may hold is looked at in all of it; but to write all of it takes half of the
        // time, so every second run goes without.
        let log = if seed.is_multiple_of(2) { "info" } else { "trace" };
        let flags = [&NODE[..], &["--log", log]].concat();
        let ports = (free_port(), free_port());
        let node = Served::start_at_as(&mut setup.command(), ports, &through, &flags);
        let mut world = Self {
            setup,
            sure,
            direct,
            through,
            pid: Arc::new(AtomicU32::new(node.child.id())),
            node,
            flags,
            log: String::new(),
            steady: operator.steady(),
            foreign_secret: operator.foreign_secret().await,
            history,
            footprint: Arc::default(),
            patience: Arc::new(AtomicU64::new(1_500)),
            stop: Arc::default(),
            held: operator.held.clone(),
            known: Arc::default(),
            tag_key,
            dice: seed << 8,
            callers: JoinSet::new(),
            proxy,
        };
        world.call(CALLERS, &Arc::clone(&world.stop));
        world.callers.spawn(operator.run(Arc::clone(&world.stop)));
        let (pid, most) = (Arc::clone(&world.pid), Arc::clone(&world.footprint));
        let (open, stop) = (world.proxy.open_connections(), Arc::clone(&world.stop));
        world.callers.spawn(figures::watch(pid, open, most, stop));
        world
    }

    /// So many callers begin, until they are told to stop.
    pub(super) fn call(&mut self, callers: usize, stop: &Arc<AtomicBool>) {
        for held in self.held.iter().cycle().take(callers) {
            self.dice += 1;
            let caller = Caller {
                grpc: self.grpc(),
                held: Arc::clone(held),
                history: Arc::clone(&self.history),
                patience: Arc::clone(&self.patience),
                known: Arc::clone(&self.known),
                own: Vec::new(),
                tag_key: self.tag_key.clone(),
                dice: Dice::new(self.dice),
            };
            self.callers.spawn(caller.run(Arc::clone(stop)));
        }
    }

    pub(super) fn grpc(&self) -> TokenServiceClient<Channel> {
        let url = format!("http://{}", self.node.grpc);
        let endpoint = Channel::from_shared(url).unwrap();
        let endpoint = endpoint.connect_timeout(Duration::from_millis(500));
        TokenServiceClient::new(endpoint.connect_lazy())
    }

    pub(super) fn set_patience(&self, patience: Duration) {
        let millis = u64::try_from(patience.as_millis()).unwrap();
        self.patience.store(millis, Ordering::Relaxed);
    }

    pub(super) fn signal_node(&self, signal: Signal) {
        let pid = Pid::from_raw(i32::try_from(self.node.child.id()).unwrap()).unwrap();
        kill_process(pid, signal).unwrap();
    }

    pub(super) const fn server(&self) -> &PrivateServer {
        self.setup.site.server()
    }

    pub(super) const fn pair(&mut self) -> &mut Pair {
        match &mut self.setup.site {
            Site::Pair(pair) => pair,
            Site::One(_) => panic!("this world has no standby"),
        }
    }

    pub(super) fn node_clock(&self) -> &Clock {
        self.setup.node_clock.as_ref().unwrap()
    }

    pub(super) fn database_clock(&self) -> &Clock {
        self.setup.database_clock.as_ref().unwrap()
    }

    /// From now on the address of the database leads to the primary. Connections stay.
    pub(super) fn lead_to_primary(&self) {
        let url = self.server().url("postgres");
        self.sure.lead_to(&url);
        self.proxy.lead_to(&url);
    }

    /// The address space of the node, in KiB.
    pub(super) fn address_space(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.node.child.id()));
        figure(&status.unwrap(), "VmSize:")
    }

    /// Waits for the node to end, and starts it again where it was.
    pub(super) fn restart_node(&mut self) {
        self.node.child.wait().unwrap();
        let ports = (self.node.grpc, self.node.http);
        let command = &mut self.setup.command();
        let node = Served::start_at_as(command, ports, &self.through, &self.flags);
        self.pid.store(node.child.id(), Ordering::Relaxed);
        self.log += &std::mem::replace(&mut self.node, node).end();
    }

    pub(super) async fn sleep(&self, millis: u64) {
        tokio::time::sleep(Duration::from_millis(millis)).await;
    }

    /// Waits until calls of every kind succeed again.
    pub(super) async fn recovery(&self, from: Instant) -> Duration {
        let deadline = from + Duration::from_mins(1);
        loop {
            if let Some(recovered) = self.history.recovered(from) {
                return recovered;
            }
            if Instant::now() > deadline {
                let said = &self.history.past().said;
                let last = said.lines().rev().take(5).collect::<Vec<_>>().join("\n");
                panic!("the node does not recover by itself; what it said last:\n{last}");
            }
            self.sleep(20).await;
        }
    }

    /// Ends the load, asks once more about every token, and ends the node.
    pub(super) async fn settle(mut self) -> Settled {
        self.stop.store(true, Ordering::Relaxed);
        while let Some(ended) = self.callers.join_next().await {
            ended.unwrap();
        }
        let settled = Instant::now();
        let mut grpc = self.grpc();
        for token in self.history.tokens() {
            self.steady.introspect(&mut grpc, &self.history, token, Duration::from_secs(5)).await;
        }
        let verdict = model::judge(&self.history.past(), settled);

        let amiss = audit::amiss(&self.direct.store(), &self.direct.url, &self.history).await;

        let metrics = Request::get("/metrics").body(Vec::new()).unwrap();
        let metrics = http::send(self.node.probes(), metrics).await;
        let metrics = String::from_utf8_lossy(&metrics.body).into_owned();
        let dump = secrecy::dump(&self.direct).await;
        drop(grpc);
        let began = Instant::now();
        self.signal_node(Signal::TERM);
        let status = self.node.ended(DRAIN + Duration::from_secs(5)).await;
        let exit = began.elapsed();
        assert!(status.success(), "{status}");
        let log = self.log + &self.node.end();
        let past = self.history.past();
        let (mut searched, mut found) = (0, Vec::new());
        for (place, text) in
            [("log", &log), ("metrics", &metrics), ("errors", &past.said), ("database", &dump)]
        {
            searched += text.len();
            found.extend(first_hit(&past.canaries, text).map(|hit| format!("{place}: {hit}")));
        }
        assert!(log.contains("serving") && metrics.contains("jeton_requests"));
        assert!(dump.contains("$argon2id$") && dump.contains(CLIENTS[0]));
        let panics = log.lines().filter(|line| line.contains("panicked at")).count();
        let footprint = *self.footprint.lock().unwrap();
        let canaries = past.canaries.len();
        Settled { verdict, amiss, footprint, exit, canaries, searched, found, panics }
    }
}
