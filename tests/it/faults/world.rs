//! A node on a Postgres of its own, with a proxy between them, under load.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use jeton::pb::v1::{
    ClientAuthentication, ClientCredentialsGrant, IntrospectTokenRequest, IssueTokenRequest,
    RevokeTokenRequest, issue_token_request::Grant, token_service_client::TokenServiceClient,
};
use rustix::process::{Pid, Signal, kill_process};
use tokio::task::JoinSet;
use tonic::{Request, Status, transport::Channel};

use super::history::{Call, History, Told};
use crate::support::{
    Database,
    binary::{Served, free_port, run_json},
    postgres::PrivateServer,
    proxy::Proxy,
};

/// Few connections, and a log of changes that fits on a small disk.
pub(super) const SETTINGS: [&str; 6] =
    ["-c", "max_connections=20", "-c", "max_wal_size=8MB", "-c", "min_wal_size=2MB"];

const CALLERS: u64 = 6;
/// Short, so that a fault of a second fills them all.
const NODE: [&str; 6] =
    ["--database-connections", "6", "--database-wait-ms", "500", "--request-timeout-ms", "1000"];

pub(super) struct World {
    pub(super) server: PrivateServer,
    pub(super) proxy: Proxy,
    /// The database as the node sees it, through the proxy.
    through: Database,
    pub(super) node: Served,
    pub(super) client: ClientAuthentication,
    pub(super) history: Arc<History>,
    /// Deadlines of the callers, in milliseconds.
    patience: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
    callers: JoinSet<()>,
}

impl World {
    pub(super) async fn new(seed: u64, server: PrivateServer) -> Self {
        let direct = Database::at(server.url("postgres"));
        let created = run_json(&["client", "create", "--client-id", "orders"], &direct);
        let client = ClientAuthentication {
            client_id: "orders".to_owned(),
            client_secret: created["client_secret"].as_str().unwrap().to_owned(),
        };
        let proxy = Proxy::before(&direct.url).await;
        let through = Database::at(proxy.url.clone());
        let ports = (free_port(), free_port());
        let node = Served::start_at(ports, &through, &NODE);
        let mut world = Self {
            server,
            proxy,
            through,
            node,
            client,
            history: Arc::default(),
            patience: Arc::new(AtomicU64::new(1_500)),
            stop: Arc::default(),
            callers: JoinSet::new(),
        };
        let known = Arc::new(Mutex::new(Vec::new()));
        for number in 0..CALLERS {
            let caller = Caller {
                grpc: world.grpc(),
                client: world.client.clone(),
                history: Arc::clone(&world.history),
                patience: Arc::clone(&world.patience),
                known: Arc::clone(&known),
                own: Vec::new(),
                dice: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ (number + 1),
            };
            world.callers.spawn(caller.run(Arc::clone(&world.stop)));
        }
        world
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

    /// Every process of the server: stopped alone, its parent would leave the others at work.
    pub(super) fn signal_database(&self, signal: Signal) {
        let Some(parent) = self.server.pid() else { return };
        let children = format!("/proc/{0}/task/{0}/children", parent.as_raw_nonzero());
        let children = std::fs::read_to_string(children).unwrap_or_default();
        let children =
            children.split_whitespace().filter_map(|pid| Pid::from_raw(pid.parse().ok()?));
        for pid in children.chain([parent]) {
            let _ = kill_process(pid, signal);
        }
    }

    /// A figure of the kernel's about the memory of the node, in KiB.
    pub(super) fn memory(&self, name: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.node.child.id()));
        let status = status.unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }

    /// Waits for the node to end, and starts it again where it was.
    pub(super) fn restart_node(&mut self) {
        self.node.child.wait().unwrap();
        let ports = (self.node.grpc, self.node.http);
        self.node = Served::start_at(ports, &self.through, &NODE);
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
            assert!(Instant::now() < deadline, "the node does not recover by itself");
            self.sleep(20).await;
        }
    }

    /// Ends the load and asks once more about every token: how many were lost, and how many came
    /// back from revocation.
    pub(super) async fn settle(mut self) -> (Arc<History>, usize) {
        self.stop.store(true, Ordering::Relaxed);
        while self.callers.join_next().await.is_some() {}
        let (living, dead) = self.history.settled();
        let mut grpc = self.grpc();
        let mut wrong = 0;
        for (tokens, expected) in [(living, true), (dead, false)] {
            for token in tokens {
                let asked = IntrospectTokenRequest {
                    token,
                    client_authentication: Some(self.client.clone()),
                    ..Default::default()
                };
                let active = grpc.introspect_token(asked).await.unwrap().into_inner().active;
                wrong += usize::from(active != expected);
            }
        }
        (self.history, wrong)
    }
}

/// One that issues, introspects and revokes as its dice fall.
struct Caller {
    grpc: TokenServiceClient<Channel>,
    client: ClientAuthentication,
    history: Arc<History>,
    patience: Arc<AtomicU64>,
    known: Arc<Mutex<Vec<String>>>,
    own: Vec<String>,
    dice: u64,
}

impl Caller {
    async fn run(mut self, stop: Arc<AtomicBool>) {
        while !stop.load(Ordering::Relaxed) {
            match self.roll() % 10 {
                0..4 => self.issue().await,
                4..9 => self.introspect().await,
                _ => self.revoke().await,
            }
            // A person would say: as fast as it goes. On two cores that would leave the database
            // none of them.
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    /// Xorshift: the dice must be the same for the same seed, and need not be good.
    fn roll(&mut self) -> u64 {
        self.dice ^= self.dice << 13;
        self.dice ^= self.dice >> 7;
        self.dice ^= self.dice << 17;
        self.dice
    }

    fn request<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        request.set_timeout(Duration::from_millis(self.patience.load(Ordering::Relaxed)));
        request
    }

    fn note(
        &self,
        began: Instant,
        token: Option<String>,
        is_revocation: bool,
        told: Result<Told, Status>,
    ) {
        let told = told.unwrap_or_else(|status| Told::Failed(status.code()));
        let ended = Instant::now();
        self.history.add(Call { token, is_revocation, told, began, ended });
    }

    async fn issue(&mut self) {
        let asked = self.request(IssueTokenRequest {
            grant: Some(Grant::ClientCredentials(ClientCredentialsGrant {})),
            client_authentication: Some(self.client.clone()),
            ..Default::default()
        });
        let began = Instant::now();
        let outcome = self.grpc.issue_token(asked).await;
        let token = outcome.as_ref().ok().map(|issued| issued.get_ref().access_token.clone());
        self.note(began, token.clone(), false, outcome.map(|_| Told::Issued));
        if let Some(token) = token {
            // Every fourth is kept from the others, to be revoked.
            if self.roll().is_multiple_of(4) {
                self.own.push(token.clone());
            }
            self.known.lock().unwrap().push(token);
        }
    }

    async fn introspect(&mut self) {
        let roll = usize::try_from(self.roll() >> 16).unwrap();
        let token = {
            let known = self.known.lock().unwrap();
            let Some(token) = known.get(roll % known.len().max(1)) else { return };
            token.clone()
        };
        let asked = self.request(IntrospectTokenRequest {
            token: token.clone(),
            client_authentication: Some(self.client.clone()),
            ..Default::default()
        });
        let began = Instant::now();
        let outcome = self.grpc.introspect_token(asked).await;
        let told = outcome.map(|answer| Told::Active(answer.into_inner().active));
        self.note(began, Some(token), false, told);
    }

    async fn revoke(&mut self) {
        let Some(token) = self.own.pop() else { return };
        let asked = self.request(RevokeTokenRequest {
            token: token.clone(),
            client_authentication: Some(self.client.clone()),
            ..Default::default()
        });
        let began = Instant::now();
        let outcome = self.grpc.revoke_token(asked).await;
        self.note(began, Some(token), true, outcome.map(|_| Told::Revoked));
    }
}

/// A secret of another client, for wrong guesses: its tag is right, so it reaches the hash.
pub(super) fn foreign_secret(world: &World) -> String {
    let direct = Database::at(world.server.url("postgres"));
    let name = format!("other-{}", world.node.child.id());
    let created = run_json(&["client", "create", "--client-id", &name], &direct);
    created["client_secret"].as_str().unwrap().to_owned()
}
