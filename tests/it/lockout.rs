//! Whoever holds an old secret, or that of another client, locks out nobody: the right secret is
//! answered every time, from the same address, through a shim, and while its hash is not cached.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use tokio::{task::JoinSet, time::sleep};

use crate::support::{
    Database, Kind,
    binary::{Served, run, run_json},
    http::{self, FORM, basic},
};

/// Hashes of about a millisecond, so that a hundred of them are no test of the machine.
const CHEAP: [&str; 6] =
    ["--argon2-memory-kib", "7168", "--argon2-passes", "5", "--hash-threads", "1"];

const COLD: [&str; 2] = ["--verified-seconds", "0"];

fn secret(database: &Database, client_id: &str) -> String {
    let created = run_json(&["client", "create", "--client-id", client_id], database);
    created["client_secret"].as_str().unwrap().to_owned()
}

/// A secret of a client that is gone.
fn old_secret(database: &Database) -> String {
    let old = secret(database, "gone");
    assert!(run(&["client", "delete", "--yes", "gone"], database).status.success());
    old
}

async fn ask(http: SocketAddr, from: IpAddr, client_id: &str, secret: &str) -> u16 {
    let request = ::http::Request::post("/oauth2/token")
        .header("content-type", FORM)
        .header("authorization", basic(client_id, secret))
        .body(b"grant_type=client_credentials".to_vec())
        .unwrap();
    http::send_from(SocketAddr::new(from, 0), http, request).await.status.as_u16()
}

/// Attackers that ask until this is dropped.
struct Attack {
    stop: Arc<AtomicBool>,
    sent: Arc<AtomicU64>,
    _tasks: JoinSet<()>,
}

impl Attack {
    /// One attacker at each address; `name` gives the client id of its next attempt.
    fn begin(
        http: SocketAddr,
        from: Vec<IpAddr>,
        secret: &str,
        name: impl Fn(u64) -> String + Clone + Send + 'static,
    ) -> Self {
        let (stop, sent) = (Arc::<AtomicBool>::default(), Arc::<AtomicU64>::default());
        let mut tasks = JoinSet::new();
        for from in from {
            let (stop, sent, secret) = (Arc::clone(&stop), Arc::clone(&sent), secret.to_owned());
            let name = name.clone();
            tasks.spawn(async move {
                while !stop.load(Ordering::Relaxed) {
                    let number = sent.fetch_add(1, Ordering::Relaxed);
                    let status = ask(http, from, &name(number), &secret).await;
                    assert!(matches!(status, 401 | 429), "{status}");
                    sleep(Duration::from_millis(10)).await;
                }
            });
        }
        Self { stop, sent, _tasks: tasks }
    }

    async fn has_sent(&self, count: u64) {
        let began = Instant::now();
        while self.sent.load(Ordering::Relaxed) < count {
            assert!(began.elapsed() < Duration::from_secs(30), "the attack does not begin");
            sleep(Duration::from_millis(10)).await;
        }
    }
}

impl Drop for Attack {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

async fn assert_served(http: SocketAddr, from: IpAddr, secret: &str, context: &str) {
    for attempt in 0..100 {
        assert_eq!(ask(http, from, "victim", secret).await, 200, "{context}, {attempt}");
    }
}

const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

#[tokio::test(flavor = "multi_thread")]
async fn an_old_secret_at_the_address_of_a_client_does_not_lock_it_out() {
    for (cache, more) in [("warm", &[][..]), ("cold", &COLD)] {
        let database = Database::ready(Kind::Sqlite).await;
        let (victim, old) = (secret(&database, "victim"), old_secret(&database));
        let node = Served::start(&database, &[&CHEAP[..], more].concat());
        let shim = Served::shim(&["--upstream", &format!("http://{}", node.grpc)]);
        for (place, http) in [("direct", node.http), ("through a shim", shim.http)] {
            let attack = Attack::begin(http, vec![HERE], &old, |_| "victim".to_owned());
            attack.has_sent(20).await;
            assert_served(http, HERE, &victim, &format!("{cache}, {place}")).await;
        }
    }
}

/// The operator finds out which secret it is, and where it comes from; at most once a second each.
#[tokio::test(flavor = "multi_thread")]
async fn a_refused_secret_is_logged_by_its_id_and_source() {
    let database = Database::ready(Kind::Sqlite).await;
    let old = old_secret(&database);
    let node = Served::start(&database, &CHEAP);
    for _ in 0..20 {
        assert!(matches!(ask(node.http, HERE, "made-up", &old).await, 401 | 429));
    }
    let log = node.end();
    let lines: Vec<_> = log.lines().filter(|line| line.contains("refused a client")).collect();
    assert!((1..10).contains(&lines.len()), "{log}");
    let id = URL_SAFE_NO_PAD.decode(&old[4..]).unwrap();
    let id = uuid::Uuid::from_slice(&id[..16]).unwrap().to_string();
    assert!(lines.iter().all(|line| line.contains(&id) && line.contains("127.0.0.1")), "{log}");
    assert!(!log.contains("made-up"), "what a stranger calls itself is not logged: {log}");
}

/// Each attempt names another client, so none of them is locked out.
#[tokio::test(flavor = "multi_thread")]
async fn an_old_secret_from_many_addresses_does_not_fill_the_hash_queue() {
    let database = Database::ready(Kind::Sqlite).await;
    let (victim, old) = (secret(&database, "victim"), old_secret(&database));
    let node = Served::start(&database, &[&CHEAP[..], &COLD].concat());
    let from = (2..32).map(|last| IpAddr::V4(Ipv4Addr::new(127, 0, 0, last))).collect();
    let attack = Attack::begin(node.http, from, &old, |number| format!("invented-{number}"));
    attack.has_sent(100).await;
    assert_served(node.http, HERE, &victim, "thirty addresses").await;
}
