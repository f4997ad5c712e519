//! Who the caller is behind a proxy or a shim: the source is what a trusted proxy says, and nothing
//! that anybody else writes. Callers who share a proxy do not pay for each other.

mod protocol;
mod shims;
mod sources;
mod throttle;

use std::{
    net::{IpAddr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
    task::JoinSet,
    time::{sleep, timeout},
};

use crate::support::{
    Database, Kind,
    binary::{Served, run, run_json},
    http::{FORM, basic},
};

/// Hashes of about a millisecond, so that a hundred of them are no test of the machine.
const CHEAP: [&str; 6] =
    ["--argon2-memory-kib", "7168", "--argon2-passes", "5", "--hash-threads", "1"];

const COLD: [&str; 2] = ["--verified-seconds", "0"];

/// A proxy that the nodes of these tests trust, and an address that they do not trust.
const PROXY: &str = "127.0.0.9";
const STRANGER: &str = "127.0.0.8";
const TRUSTED: [&str; 2] = ["--trusted-proxy", PROXY];

const VICTIM: &str = "192.0.2.7";
const ATTACKER: &str = "198.51.100.66";

/// A client `victim` with its secret, and a secret of a client that is gone.
struct Secrets {
    database: Database,
    right: String,
    old: String,
}

impl Secrets {
    async fn new() -> Self {
        let database = Database::ready(Kind::Sqlite).await;
        let [right, old] = ["victim", "gone"].map(|id| Self::create(&database, id));
        assert!(run(&["client", "delete", "--yes", "gone"], &database).status.success());
        Self { database, right, old }
    }

    fn create(database: &Database, client_id: &str) -> String {
        let created = run_json(&["client", "create", "--client-id", client_id], database);
        created["client_secret"].as_str().unwrap().to_owned()
    }

    fn serve(&self, flags: &[&[&str]]) -> Served {
        Served::start(&self.database, &flags.concat())
    }
}

/// How a caller at some address reaches a node.
#[derive(Clone, Copy)]
enum Way {
    /// By itself, or through NAT.
    Direct,
    /// Through a proxy that appends to this header.
    Header(&'static str),
    /// Through a proxy that begins the connection with the PROXY protocol.
    Protocol,
}

async fn connect(from: IpAddr, to: SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(SocketAddr::new(from, 0)).unwrap();
    socket.connect(to).await.unwrap()
}

/// A header of the PROXY protocol for this address.
fn proxy_header(source: IpAddr) -> Vec<u8> {
    let IpAddr::V4(source) = source else { panic!("IPv4 is enough here") };
    let rest = [&source.octets()[..], &[127, 0, 0, 1, 0x12, 0x34, 0, 80]].concat();
    [&b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c"[..], &rest].concat()
}

/// Sends these bytes and returns everything that is answered.
async fn say(from: &str, to: SocketAddr, bytes: &[u8]) -> String {
    let mut stream = connect(from.parse().unwrap(), to).await;
    stream.write_all(bytes).await.unwrap();
    let mut said = Vec::new();
    let answered = timeout(Duration::from_secs(20), stream.read_to_end(&mut said)).await;
    let _ = answered.expect("it stays open");
    String::from_utf8_lossy(&said).into_owned()
}

/// A request for a token with these further header lines, which ends its connection.
fn request(client_id: &str, secret: &str, headers: &str) -> String {
    format!(
        "POST /oauth2/token HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: {FORM}\r\n\
         Authorization: {}\r\n{headers}Content-Length: 29\r\n\r\ngrant_type=client_credentials",
        basic(client_id, secret)
    )
}

/// Asks for a token, and returns the head of the answer.
async fn ask(way: Way, source: &str, to: SocketAddr, client_id: &str, secret: &str) -> String {
    let (from, prefix, headers) = match way {
        Way::Direct => (source, Vec::new(), String::new()),
        Way::Header(name) => {
            let hop = if name == "Forwarded" { "for=" } else { "" };
            (PROXY, Vec::new(), format!("{name}: {hop}203.0.113.1, {hop}{source}\r\n"))
        }
        Way::Protocol => (PROXY, proxy_header(source.parse().unwrap()), String::new()),
    };
    let bytes = [prefix, request(client_id, secret, &headers).into_bytes()].concat();
    let said = say(from, to, &bytes).await;
    said.split("\r\n\r\n").next().unwrap().to_owned()
}

/// The source of the next refusal in the log.
fn logged_source(node: &Served) -> String {
    let said = node.until("refused a client secret");
    let (_, after) = said.rsplit_once("source=").unwrap();
    after.split_whitespace().next().unwrap().to_owned()
}

fn status(head: &str) -> u16 {
    head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or_default()
}

/// Attackers, one for each source, that ask with a secret until this is dropped.
struct Attack {
    stop: Arc<AtomicBool>,
    refused: Arc<AtomicU64>,
    _tasks: JoinSet<()>,
}

impl Attack {
    fn begin(way: Way, sources: &[String], to: SocketAddr, secret: &str, pause: Duration) -> Self {
        let (stop, refused) = (Arc::<AtomicBool>::default(), Arc::<AtomicU64>::default());
        let mut tasks = JoinSet::new();
        for source in sources {
            let (stop, refused) = (Arc::clone(&stop), Arc::clone(&refused));
            let (source, secret) = (source.clone(), secret.to_owned());
            tasks.spawn(async move {
                while !stop.load(Ordering::Relaxed) {
                    let head = ask(way, &source, to, "victim", &secret).await;
                    assert!(matches!(status(&head), 401 | 429), "{head}");
                    refused.fetch_add(1, Ordering::Relaxed);
                    sleep(pause).await;
                }
            });
        }
        Self { stop, refused, _tasks: tasks }
    }

    async fn has_failed(&self, count: u64) {
        let waiting = async {
            while self.refused.load(Ordering::Relaxed) < count {
                sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(Duration::from_mins(1), waiting).await.expect("the attack does not begin");
    }
}

impl Drop for Attack {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

const PAUSE: Duration = Duration::from_millis(10);

/// S-08: behind NAT and behind each kind of proxy, with the attacker at the address of the victim
/// and at another one.
#[tokio::test(flavor = "multi_thread")]
async fn the_right_secret_succeeds_through_every_proxy_beside_an_old_one() {
    let ways = [
        (Way::Direct, "127.0.0.2", &[][..]),
        (Way::Header("X-Forwarded-For"), VICTIM, &TRUSTED),
        (Way::Header("Forwarded"), VICTIM, &TRUSTED),
        (Way::Protocol, VICTIM, &["--proxy-protocol", PROXY]),
    ];
    let secrets = Secrets::new().await;
    for (cache, more) in [("warm", &[][..]), ("cold", &COLD)] {
        for (number, (way, victim, flags)) in ways.into_iter().enumerate() {
            let node = secrets.serve(&[&CHEAP, more, flags]);
            let sources = [victim.to_owned(), "127.0.0.3".to_owned()];
            let attack = Attack::begin(way, &sources, node.http, &secrets.old, PAUSE);
            attack.has_failed(20).await;
            for attempt in 0..100 {
                let head = ask(way, victim, node.http, "victim", &secrets.right).await;
                assert_eq!(status(&head), 200, "{cache}, way {number}, {attempt}: {head}");
            }
        }
    }
}
