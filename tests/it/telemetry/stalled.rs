//! A log that nobody reads costs no request and no drain, and says afterwards what it lost.

use std::{
    io::{self, Read},
    net::SocketAddr,
    process::{Child, Stdio},
    thread,
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};
use tokio::{
    net::TcpStream,
    time::{Instant, sleep},
};

use super::value;
use crate::support::{
    Database, Kind,
    binary::{free_port, jeton, run_json},
    http::{get, post_form},
};

/// More lines than a pipe and the backlog hold together: each request is one.
const REQUESTS: usize = 6_000;

const LIMIT: Duration = Duration::from_secs(30);

struct Node {
    child: Child,
    http: SocketAddr,
    probes: SocketAddr,
    secret: String,
    _database: Database,
}

impl Node {
    /// A node whose standard error is this.
    async fn start(stderr: impl Into<Stdio>) -> Self {
        let database = Database::ready(Kind::Sqlite).await;
        let created = run_json(&["client", "create", "--client-id", "orders"], &database);
        let secret = created["client_secret"].as_str().unwrap().to_owned();
        let (http, probes) = (free_port(), free_port());
        let mut child = jeton()
            .args(["serve", "--grpc-addr", "127.0.0.1:0", "--http-addr", &http.to_string()])
            .args(["--probe-addr", &probes.to_string(), "--drain-timeout-seconds", "2"])
            // Refusals fill the log here, and on a fast machine they would be throttled.
            .args(["--max-failures-per-second", "0"])
            .args(database.flags())
            .stderr(stderr)
            .spawn()
            .unwrap();
        while TcpStream::connect(probes).await.is_err()
            || get(probes, "/readyz").await.status != 200
        {
            assert!(child.try_wait().unwrap().is_none(), "it ended");
            sleep(Duration::from_millis(10)).await;
        }
        Self { child, http, probes, secret, _database: database }
    }

    async fn issue(&self) -> u16 {
        let grant = "grant_type=client_credentials";
        post_form(self.http, "/oauth2/token", "orders", &self.secret, grant).await.status.as_u16()
    }

    /// Asks over and over again, in the form of refusals, which are the cheapest lines.
    async fn fill(&self) {
        let began = Instant::now();
        for number in 0..REQUESTS {
            assert_eq!(get(self.http, "/nothing").await.status, 404, "{number}");
            assert!(began.elapsed() < 4 * LIMIT, "it hangs after {number}");
        }
    }

    async fn dropped(&self) -> u64 {
        let page = get(self.probes, "/metrics").await;
        let page = String::from_utf8(page.body.to_vec()).unwrap();
        value(&page, "jeton_log_lines_dropped_total").parse().unwrap()
    }

    async fn ends(&mut self) {
        kill_process(Pid::from_child(&self.child), Signal::TERM).unwrap();
        let began = Instant::now();
        while self.child.try_wait().unwrap().is_none() {
            assert!(began.elapsed() < LIMIT, "SIGTERM does not end it");
            sleep(Duration::from_millis(20)).await;
        }
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_nobody_reads_holds_up_nothing_and_says_what_it_lost() {
    let (mut reader, writer) = io::pipe().unwrap();
    let mut node = Node::start(writer).await;
    node.fill().await;
    assert_eq!(node.issue().await, 200);
    assert_eq!(get(node.probes, "/readyz").await.status, 200);
    let dropped = node.dropped().await;
    assert_ne!(dropped, 0);

    // Its reader comes back, and is told.
    let reading = thread::spawn(move || {
        let mut text = String::new();
        reader.read_to_string(&mut text).map(|_| text)
    });
    sleep(Duration::from_millis(500)).await;
    assert_eq!(node.issue().await, 200);
    node.ends().await;
    let text = reading.join().unwrap().unwrap();
    assert!(text.contains("log lines were dropped"), "{}", &text[text.len() - 500..]);
    assert!(text.ends_with('\n') && text.contains("stopped"), "the last lines arrive");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stalled_log_does_not_hold_up_the_end_of_a_node() {
    let (reader, writer) = io::pipe().unwrap();
    let mut node = Node::start(writer).await;
    node.fill().await;
    node.ends().await;
    drop(reader);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_whose_reader_is_gone_costs_no_request() {
    let (reader, writer) = io::pipe().unwrap();
    let mut node = Node::start(writer).await;
    drop(reader);
    for _ in 0..20 {
        assert_eq!(node.issue().await, 200);
    }
    assert_ne!(node.dropped().await, 0);
    node.ends().await;
}
