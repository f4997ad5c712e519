//! Durable changes: issuing beside C, the insert and commit of a bare row, and on a simulated slow
//! disk beside its flush; and revoking.

use std::time::{Duration, Instant};

use jeton::pb::v1::{
    ClientAuthentication, ClientCredentialsGrant, IssueTokenRequest, RevokeTokenRequest,
    issue_token_request::Grant,
};
use sqlx::{AssertSqlSafe, Connection, PgConnection};

use crate::{
    load::Target,
    postgres,
    process::{Process, register},
    rows::start_node,
    yardsticks::commit,
};

const ROUNDS: usize = 5;

/// What a flush of the slow disk takes beyond one of the disk that is there. Postgres sleeps for so
/// long before each flush, and commits that come meanwhile share it, as on a disk that is slow.
const SLOW_FLUSH: Duration = Duration::from_millis(5);

/// Names that no caller of an earlier round has.
static NAMES: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);

const ALONE: [&str; 4] = ["--connections", "1", "--in-flight", "1"];
const THIRTY_TWO: [&str; 4] = ["--connections", "2", "--in-flight", "16"];

/// A database with a node, and one on the slow disk.
pub(crate) struct Commits {
    url: String,
    flags: Vec<String>,
    node: Target,
    slow: Target,
    _processes: [Process; 2],
}

/// The ratios of these rows alone.
pub(crate) async fn measure() -> Vec<(&'static str, f64)> {
    let commits = Commits::start().await;
    let mut ratios = Vec::new();
    for round in 0..ROUNDS {
        eprintln!("round {} of {ROUNDS} …", round + 1);
        ratios.extend(commits.round().await);
    }
    ratios
}

impl Commits {
    pub(crate) async fn start() -> Self {
        let url = tokio::task::spawn_blocking(|| postgres::url("commits")).await.unwrap();
        let mut server = PgConnection::connect(&postgres::url("postgres")).await.unwrap();
        for statement in [
            "create database commits".to_owned(),
            "create database slow_disk".to_owned(),
            format!("alter database slow_disk set commit_delay = {}", SLOW_FLUSH.as_micros()),
            // Also where nobody else is about to commit.
            "alter database slow_disk set commit_siblings = 0".to_owned(),
        ] {
            sqlx::raw_sql(AssertSqlSafe(statement)).execute(&mut server).await.unwrap();
        }
        let flags = |url: String| vec!["--database-url".to_owned(), url];
        let (slow, slow_process) = start_node(&flags(postgres::url("slow_disk")), &[]);
        let flags = flags(url.clone());
        let (node, process) = start_node(&flags, &[]);
        Self { url, flags, node, slow, _processes: [process, slow_process] }
    }

    pub(crate) async fn round(&self) -> Vec<(&'static str, f64)> {
        let mut ratios = Vec::new();
        let p50 =
            |node: &Target, profile, callers: &[&str]| node.load(profile, callers).get("p50_ms");

        let alone = commit(&self.url, 1).await;
        ratios.push(("3a", p50(&self.node, "issue", &ALONE) / alone));
        let among = commit(&self.url, 32).await;
        ratios.push(("3b", p50(&self.node, "issue", &THIRTY_TWO) / among));
        let slow_flush = SLOW_FLUSH.as_secs_f64() * 1e3;
        ratios.push(("3d", p50(&self.slow, "issue", &ALONE) / slow_flush));
        ratios.push(("3e", p50(&self.slow, "issue", &THIRTY_TWO) / slow_flush));

        let many = ["--connections", "4", "--in-flight", "32", "--tokens", "20000"];
        ratios.push(("10c", self.node.load("revoke", &many).get("requests_per_second")));
        let alone = commit(&self.url, 1).await;
        let single = [&ALONE[..], &["--tokens", "500"]].concat();
        ratios.push(("10d", p50(&self.node, "revoke", &single) / alone));
        ratios.extend(self.two_nodes().await);
        ratios
    }

    /// Revocations while another node follows the change feed, and one after it has died.
    async fn two_nodes(&self) -> Vec<(&'static str, f64)> {
        let lease = Duration::from_secs(2);
        let (second, mut process) = start_node(&self.flags, &["--lease-ms", "2000"]);
        // It has its lease and has cached something.
        second.load("introspect", &["--seconds", "1"]);
        let callers = [&THIRTY_TWO[..], &["--tokens", "10000"]].concat();
        let p99 = self.node.load("revoke", &callers).get("p99_ms");
        process.child.kill().unwrap();
        process.child.wait().unwrap();
        let number = NAMES.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let client = register(&format!("revoker-{number}"), &self.flags);
        let dead = revoke(&self.node, &client).await.saturating_sub(lease);
        vec![("10a", p99), ("10b", dead.as_secs_f64() * 1e3)]
    }
}

/// How long it takes until the revocation of a new token is acknowledged.
async fn revoke(node: &Target, client: &ClientAuthentication) -> Duration {
    let url = format!("http://{}", node.grpc);
    let mut grpc =
        jeton::pb::v1::token_service_client::TokenServiceClient::connect(url).await.unwrap();
    let issued = grpc.issue_token(IssueTokenRequest {
        grant: Some(Grant::ClientCredentials(ClientCredentialsGrant {})),
        client_authentication: Some(client.clone()),
        ..Default::default()
    });
    let revocation = RevokeTokenRequest {
        token: issued.await.unwrap().into_inner().access_token,
        client_authentication: Some(client.clone()),
        ..Default::default()
    };
    let began = Instant::now();
    grpc.revoke_token(revocation).await.unwrap();
    began.elapsed()
}
