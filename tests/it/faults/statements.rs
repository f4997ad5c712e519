//! The k-th statement of each RPC fails, for every k that there is, in each way: what the caller is
//! told, and what then is the case.

use std::{fmt::Write, sync::Arc, time::Duration};

use ::http::Request;
use jeton::store::{PostgresOptions, PostgresStore};
use sqlx::{Connection, PgConnection};
use tonic::{Code, Status};

use crate::support::{
    Database, Kind, TestNode, TestNodeOptions, http,
    node::Credentials,
    proxy::{Failpoint, Failure, Proxy},
};

const CONNECTIONS: usize = 2;

#[expect(clippy::enum_variant_names, reason = "these are the names of the contract")]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rpc {
    IssueToken,
    IntrospectToken,
    RevokeToken,
}

impl Rpc {
    const ALL: [Self; 3] = [Self::IssueToken, Self::IntrospectToken, Self::RevokeToken];

    async fn call(self, node: &TestNode, caller: &Credentials, token: &str) -> Result<(), Status> {
        match self {
            Self::IssueToken => node.issue(caller).await.map(drop),
            Self::IntrospectToken => {
                let told = node.introspect(caller, token).await?;
                assert!(told.active, "a false `inactive`");
                Ok(())
            }
            Self::RevokeToken => node.revoke(caller, token).await,
        }
    }
}

/// A node that has served nobody, behind a failpoint.
async fn fresh_node(database: Database) -> (TestNode, Arc<Failpoint>, Proxy) {
    let (proxy, failpoint) = Proxy::failing(&database.url).await;
    let (connections, wait) = (u32::try_from(CONNECTIONS).unwrap(), Duration::from_secs(2));
    let store = Arc::new(
        PostgresStore::at(&proxy.url, connections, PostgresOptions::waiting(wait)).unwrap(),
    );
    let node = TestNode::with_store(database, store, TestNodeOptions::default()).await;
    // What it sends by itself at its start is not what shall fail.
    let has_looked_after_the_store = r#"jeton_upkeep_rounds_total{outcome="OK"} 1"#;
    loop {
        let request = Request::get("/metrics").body(Vec::new()).unwrap();
        let page = http::send(node.node.probe_addr(), request).await.body;
        if String::from_utf8_lossy(&page).contains(has_looked_after_the_store) {
            return (node, failpoint, proxy);
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// One statement of one call that fails.
struct Trial {
    /// A node on the same database, for what is not to fail.
    beside: Arc<TestNode>,
    rpc: Rpc,
    is_warm: bool,
    number: usize,
}

impl Trial {
    /// The statement that failed, and what the caller was told; none if there are not so many.
    async fn run(&self, failure: Failure) -> Option<(String, Code)> {
        let name = format!("{:?}-{}-{}-{failure:?}", self.rpc, self.is_warm, self.number);
        let caller = self.beside.client(&name).await;
        let token = self.beside.issue(&caller).await.unwrap().access_token;
        let (node, failpoint, _proxy) = fresh_node(self.beside.database.shared()).await;
        if self.is_warm {
            self.warm_up(&node, &failpoint, &caller).await;
        }
        let recorded = recorded(&self.beside.database, &caller).await;

        failpoint.arm(failure, self.number);
        let told = self.rpc.call(&node, &caller, &token).await;
        let (sent, has_failed) = failpoint.disarm();
        let context = format!("{name} after {sent:?}");
        if !has_failed {
            told.unwrap_or_else(|status| panic!("{context}: {status}"));
            return None;
        }
        if failure.runs() {
            failpoint.ran().await;
        }

        // What is the case, by what the database has run: the call failed, and yet it may be done.
        let ran = if failure.runs() { &sent[..] } else { &sent[..sent.len() - 1] };
        let changes = ["run insert", "run select revoke_tokens"];
        let is_done =
            ran.iter().any(|statement| changes.iter().any(|change| statement.starts_with(change)));
        if self.rpc == Rpc::IssueToken {
            let more = recorded_since(recorded, &self.beside.database, &caller).await;
            assert_eq!(more, usize::from(is_done), "{context}");
        }
        let is_revoked = self.rpc == Rpc::RevokeToken && is_done;
        let active = self.beside.introspect(&caller, &token).await.unwrap().active;
        assert_eq!(active, !is_revoked, "{context}");

        let code = told.err().map_or(Code::Ok, |status| status.code());
        let is_honest = match code {
            Code::Ok => self.rpc == Rpc::IntrospectToken || is_done,
            Code::Unavailable | Code::DeadlineExceeded | Code::Internal => true,
            _ => false,
        };
        assert!(is_honest, "{context}: {code:?}");

        // And the next call is served.
        let next = self.rpc.call(&node, &caller, &token).await;
        next.unwrap_or_else(|status| panic!("{context}, the next call: {status}"));
        Some((sent.last()?.clone(), code))
    }

    /// Calls until nothing has to be prepared any more on any connection.
    async fn warm_up(&self, node: &TestNode, failpoint: &Failpoint, caller: &Credentials) {
        let mut prepared = 0;
        while prepared < 2 * CONNECTIONS {
            let token = self.beside.issue(caller).await.unwrap().access_token;
            failpoint.disarm();
            let told = self.rpc.call(node, caller, &token).await;
            let (sent, _) = failpoint.disarm();
            // On a machine that is busy a call may be late.
            let is_prepared =
                told.is_ok() && !sent.iter().any(|statement| statement.starts_with("prepare"));
            prepared = if is_prepared { prepared + 1 } else { 0 };
        }
    }
}

/// How many tokens of a client are recorded.
async fn recorded(database: &Database, caller: &Credentials) -> i64 {
    let mut connection = PgConnection::connect(&database.url).await.unwrap();
    sqlx::query_scalar("select count(*) from access_token where client = $1")
        .bind(caller.client.key.0)
        .fetch_one(&mut connection)
        .await
        .unwrap()
}

async fn recorded_since(before: i64, database: &Database, caller: &Credentials) -> usize {
    usize::try_from(recorded(database, caller).await - before).unwrap()
}

/// `prepare select client.id`: enough to know it by.
fn shortened(statement: &str) -> String {
    let words = statement.split_whitespace().filter(|word| *word != "(id,");
    let first: Vec<_> = words.take(4).collect();
    let end = first.iter().position(|word| word.ends_with(',')).map_or(4, |comma| comma + 1);
    first[..end.min(first.len())].join(" ").trim_end_matches(',').to_owned()
}

/// All of them in the long run. What is never answered is waited for, which takes minutes, and the
/// short run meets it in the faults that pause the database.
fn failures() -> &'static [Failure] {
    let is_long = std::env::var_os("JETON_FAULT_ROUNDS").is_some();
    if is_long { &Failure::ALL } else { &Failure::ALL[..3] }
}

type Tried = Vec<(String, Code)>;

/// Every statement of one RPC, from the first, and what the caller was told when it failed.
async fn every_statement(rpc: Rpc, is_warm: bool) -> Vec<Tried> {
    // A database for each: a revocation waits for all nodes on it.
    let beside = Arc::new(TestNode::start(Kind::Postgres).await);
    let mut all = Vec::new();
    for failure in failures() {
        let mut tried = Tried::new();
        for number in 1.. {
            let trial = Trial { beside: Arc::clone(&beside), rpc, is_warm, number };
            let Some(failed) = trial.run(*failure).await else { break };
            // What it asks again and again, until the other nodes have heard, is tried once.
            if tried.iter().any(|(statement, _)| *statement == failed.0) {
                break;
            }
            tried.push(failed);
        }
        assert!(!tried.is_empty(), "{rpc:?} sends nothing: this tests nothing");
        all.push(tried);
    }
    all
}

/// The rows of a table: a statement each, and a column for each failure.
fn rows(rpc: Rpc, is_warm: bool, columns: &[Tried]) -> String {
    let mut rows = String::new();
    let call = if is_warm { "later" } else { "first" };
    // Whoever waits for other nodes asks again on any session, which may have to prepare it anew:
    // how many statements there are is not the same each time.
    let longest = columns.iter().max_by_key(|tried| tried.len()).unwrap();
    for (index, (statement, _)) in longest.iter().enumerate() {
        let told = |tried: &Tried| {
            tried.get(index).map_or_else(|| "–".to_owned(), |(_, code)| format!("{code:?}"))
        };
        let told: Vec<_> = columns.iter().map(told).collect();
        let (number, statement, told) = (index + 1, shortened(statement), told.join(" | "));
        writeln!(rows, "| {rpc:?} | {call} | {number} | `{statement}` | {told} |").unwrap();
    }
    rows
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whichever_statement_fails_the_answer_is_honest_and_the_next_call_is_served() {
    // Side by side, since most of the time is spent in waiting for what never comes.
    let mut trials = Vec::new();
    for (rpc, is_warm) in Rpc::ALL.into_iter().flat_map(|rpc| [(rpc, false), (rpc, true)]) {
        trials.push((rpc, is_warm, tokio::spawn(every_statement(rpc, is_warm))));
    }
    let heading =
        "| RPC | call | k | statement | refused | cut before it | cut after it | no answer |";
    let columns = 4 + failures().len();
    let heading: Vec<_> = heading.split('|').take(columns + 1).collect();
    let mut table = format!("{}|\n{}|\n", heading.join("|"), "|---".repeat(columns));
    for (rpc, is_warm, columns) in trials {
        let columns = columns.await.unwrap();
        table += &rows(rpc, is_warm, &columns);
    }
    println!("{table}");
}
