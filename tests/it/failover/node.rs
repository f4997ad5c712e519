//! A node in a process of its own and its only client, over HTTP, with a deadline for every call.

use std::{
    net::SocketAddr,
    ops::Deref,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use serde_json::Value;
use tokio::{
    net::TcpStream,
    time::{sleep, timeout},
};

use crate::support::{
    Database,
    binary::{Served, free_port, jeton, run_json},
    http::{Answer, get, post_form},
};

/// The lease of a node, as it is by default.
pub(super) const LEASE: Duration = Duration::from_secs(2);

/// How long a node may take to find a database again that can be used.
pub(super) const RECOVERY: Duration = Duration::from_secs(15);

/// The cheapest hash that a node takes: it is not what is tried here.
const CHEAP: [&str; 4] = ["--argon2-memory-kib", "7168", "--argon2-passes", "5"];

/// No call of a node takes longer, whatever it waits for.
const DEADLINE: Duration = Duration::from_secs(15);

/// The client id and the secret of a client.
pub(super) type Caller = (String, String);

pub(super) struct Node {
    /// Killed when this is dropped.
    _served: Served,
    database: Database,
    face: Face,
}

/// Where a node is called.
#[derive(Debug, Clone, Copy)]
pub(super) struct Face {
    http: SocketAddr,
    probes: SocketAddr,
}

impl Deref for Node {
    type Target = Face;

    fn deref(&self) -> &Face {
        &self.face
    }
}

impl Node {
    /// A node on the database at this URL.
    pub(super) fn start(url: &str) -> Self {
        Self::start_with(url, &mut jeton(), &[])
    }

    /// The same by a command that becomes `jeton`, with more flags.
    pub(super) fn start_with(url: &str, command: &mut Command, more: &[&str]) -> Self {
        let database = Database::at(url.to_owned());
        let flags = [&CHEAP[..], more].concat();
        let served = Served::start_as(command, &database, &flags);
        Self::of(served, database)
    }

    /// A node that may end before it serves. Then this is the last line that it said.
    pub(super) fn attempt(url: &str) -> Result<Self, String> {
        let database = Database::at(url.to_owned());
        let served = Served::attempt(&database, &CHEAP)
            .map_err(|said| said.lines().last().unwrap_or_default().to_owned())?;
        Ok(Self::of(served, database))
    }

    fn of(served: Served, database: Database) -> Self {
        let face = Face { http: served.http, probes: served.probes() };
        Self { _served: served, database, face }
    }

    /// Registers a client, beside the node.
    pub(super) fn client(&self, client_id: &str) -> Caller {
        let created = run_json(&["client", "create", "--client-id", client_id], &self.database);
        (client_id.to_owned(), created["client_secret"].as_str().unwrap().to_owned())
    }
}

impl Face {
    pub(super) async fn issue(&self, caller: &Caller) -> Answer {
        self.post("/oauth2/token", caller, "grant_type=client_credentials").await
    }

    /// A token that is issued while nothing is amiss.
    pub(super) async fn token(&self, caller: &Caller) -> String {
        token_in(&self.issue(caller).await)
    }

    pub(super) async fn introspect(&self, caller: &Caller, token: &str) -> Answer {
        self.post("/oauth2/introspect", caller, &format!("token={token}")).await
    }

    pub(super) async fn revoke(&self, caller: &Caller, token: &str) -> Answer {
        self.post("/oauth2/revoke", caller, &format!("token={token}")).await
    }

    /// Whether a token is active; none if the node cannot tell, which it says as it should.
    pub(super) async fn is_active(&self, caller: &Caller, token: &str) -> Option<bool> {
        let answer = self.introspect(caller, token).await;
        if answer.status == 200 {
            return Some(answer.json()["active"].as_bool().unwrap());
        }
        assert_unavailable(&answer);
        None
    }

    async fn post(&self, path: &str, (client_id, secret): &Caller, form: &str) -> Answer {
        let posted = post_form(self.http, path, client_id, secret, form);
        timeout(DEADLINE, posted).await.unwrap_or_else(|_| panic!("{path} does not answer"))
    }

    /// The status of `/readyz`.
    pub(super) async fn readyz(&self) -> u16 {
        let asked = get(self.probes, "/readyz");
        timeout(DEADLINE, asked).await.expect("/readyz does not answer").status.as_u16()
    }

    /// A number from the page of metrics; none if it is not there.
    pub(super) async fn metric(&self, name: &str) -> Option<f64> {
        let page = timeout(DEADLINE, get(self.probes, "/metrics")).await.unwrap();
        let text = String::from_utf8(page.body.to_vec()).unwrap();
        let line = text.lines().find(|line| line.starts_with(&format!("{name} ")))?;
        Some(line.rsplit(' ').next().unwrap().parse().unwrap())
    }

    pub(super) async fn until_ready(&self) {
        until("the node is ready", RECOVERY, async || self.readyz().await == 200).await;
    }

    pub(super) async fn until_not_ready(&self, limit: Duration) {
        until("/readyz says that it is not ready", limit, async || self.readyz().await == 503)
            .await;
    }

    /// Waits until calls of all kinds succeed and the node says so.
    pub(super) async fn until_it_serves(&self, caller: &Caller) {
        until("the node serves again", RECOVERY, async || {
            let issued = self.issue(caller).await;
            if issued.status != 200 {
                assert_unavailable(&issued);
                return false;
            }
            let token = token_in(&issued);
            self.is_active(caller, &token).await == Some(true)
                && self.revoke(caller, &token).await.status == 200
                && self.is_active(caller, &token).await == Some(false)
        })
        .await;
        self.until_ready().await;
    }
}

/// A node that may not come to serve.
pub(super) struct Starting {
    child: Child,
    probes: SocketAddr,
    _database: Database,
}

impl Starting {
    pub(super) fn start(url: &str, command: &mut Command) -> Self {
        let (database, probes) = (Database::at(url.to_owned()), free_port());
        command.arg("serve").args(CHEAP).args(database.flags());
        command.env("JETON_PROBE_ADDR", probes.to_string()).stderr(Stdio::null());
        Self { child: command.spawn().unwrap(), probes, _database: database }
    }

    pub(super) fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Whether `/readyz` says so; not, if nobody answers there.
    pub(super) async fn is_ready(&self) -> bool {
        let is_served = TcpStream::connect(self.probes).await.is_ok();
        is_served && get(self.probes, "/readyz").await.status == 200
    }
}

impl Drop for Starting {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(super) fn token_in(answer: &Answer) -> String {
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()["access_token"].as_str().unwrap().to_owned()
}

/// Unavailable and nothing else: 503, and when to come back.
pub(super) fn assert_unavailable(answer: &Answer) {
    assert_eq!(answer.status, 503, "{answer:?}");
    assert_eq!(answer.json()["error"], Value::from("temporarily_unavailable"), "{answer:?}");
    assert!(!answer.header("retry-after").is_empty(), "{answer:?}");
}

/// Waits until something is the case, and returns how long that took.
pub(super) async fn until<F: Future<Output = bool>>(
    what: &str,
    limit: Duration,
    mut is_so: impl FnMut() -> F,
) -> Duration {
    let began = Instant::now();
    while !is_so().await {
        assert!(began.elapsed() < limit, "not within {limit:?}: {what}");
        sleep(Duration::from_millis(20)).await;
    }
    began.elapsed()
}
