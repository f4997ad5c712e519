//! What a database, a role or a server may be set to, and that none of it changes what a node
//! promises: it sets for itself what it depends on, or does not start.
//!
//! A short table is tried with the other tests; `./test --faults` tries and prints all of it.

use std::{collections::BTreeMap, env, fmt::Write, sync::Arc};

use jeton::domain::TokenText;
use rustix::process::Signal;
use tokio::{sync::Semaphore, task::JoinSet};

use super::{
    NO_POSTGRES,
    node::{Caller, Face, Node, token_in},
};
use crate::support::{
    Database,
    http::Answer,
    postgres::{self, PrivateServer},
};

/// What a setting is made for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Level {
    Database,
    Role,
    System,
}

/// What is tried, and when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Trial {
    /// With the other tests, for a database; with all of it for each level.
    Always,
    /// With all of it.
    Rarely,
}

use Trial::{Always, Rarely};

/// Settings that a session takes from its database, its role or the server, with values to try.
const SETTINGS: [(&str, &str, Trial); 21] = [
    ("default_transaction_isolation", "'read uncommitted'", Rarely),
    ("default_transaction_isolation", "'read committed'", Rarely),
    ("default_transaction_isolation", "'repeatable read'", Always),
    ("default_transaction_isolation", "serializable", Always),
    ("default_transaction_read_only", "on", Rarely),
    ("default_transaction_deferrable", "on", Rarely),
    ("synchronous_commit", "off", Always),
    ("synchronous_commit", "local", Rarely),
    ("synchronous_commit", "remote_write", Rarely),
    ("synchronous_commit", "on", Rarely),
    ("synchronous_commit", "remote_apply", Rarely),
    ("fsync", "off", Rarely),
    ("full_page_writes", "off", Rarely),
    ("lock_timeout", "1", Rarely),
    ("statement_timeout", "10", Rarely),
    ("idle_in_transaction_session_timeout", "1", Rarely),
    ("idle_session_timeout", "200", Rarely),
    ("search_path", "decoy, public", Rarely),
    ("session_replication_role", "replica", Rarely),
    ("timezone", "'Pacific/Kiritimati'", Rarely),
    ("datestyle", "'German'", Rarely),
];

/// Settings of the server alone, and those that decide what a crash leaves. That of a process shows
/// nothing of the first two: the kernel has what was written.
const OF_THE_SERVER: [&str; 2] = ["fsync", "full_page_writes"];
const OF_CRASHES: [&str; 3] = ["fsync", "full_page_writes", "synchronous_commit"];

/// Tables that look like ours and are none.
const DECOY: &str = "create schema decoy;
    create table decoy.revoked_token (like public.revoked_token including all);
    create table decoy.change (like public.change including all)";

/// Nothing is written to the disk but what a commit waits for.
const SERVER: [&str; 6] =
    ["-c", "wal_writer_delay=10s", "-c", "wal_writer_flush_after=1GB", "-c", "max_connections=60"];

const RELOAD: &str = "select pg_reload_conf()";

/// Tokens that are issued, asked about, revoked and asked about again, so many at once.
const TOKENS: usize = 36;
const AT_ONCE: usize = 12;

/// What became of a trial. Only `refused` may differ from what all must be.
#[derive(Debug, Default, PartialEq, Eq)]
struct Outcome {
    /// Why the node does not start.
    refused: Option<String>,
    /// Calls by what they were answered, if not as they must be.
    failed: BTreeMap<String, usize>,
    /// Tokens that were active after their revocation was acknowledged.
    active: usize,
    /// Tokens and revocations that were acknowledged and that the crash of the server took away.
    lost: usize,
}

impl Outcome {
    fn is_right(&self) -> bool {
        self.failed.is_empty() && self.active == 0 && self.lost == 0
    }

    fn told(&self) -> String {
        let mut told = match &self.refused {
            Some(why) => format!("does not start: {why}"),
            None if self.is_right() => "as promised".to_owned(),
            None => String::new(),
        };
        for (what, times) in &self.failed {
            write!(told, "{times} × {what}; ").unwrap();
        }
        if self.active > 0 {
            write!(told, "{} active after their revocation; ", self.active).unwrap();
        }
        if self.lost > 0 {
            write!(told, "{} of {} lost; ", self.lost, 2 * TOKENS).unwrap();
        }
        told.trim_end_matches("; ").to_owned()
    }
}

/// Issues a token, sees that it is active, revokes it, and sees that it is not.
async fn live_and_die(node: Face, caller: Caller) -> Result<(String, bool), String> {
    let failed = |what, answer: &Answer| {
        let error = &answer.json()["error"];
        Err(format!("{what} {} {}", answer.status.as_u16(), error.as_str().unwrap_or_default()))
    };
    let issued = node.issue(&caller).await;
    if issued.status != 200 {
        return failed("issue", &issued);
    }
    let token = token_in(&issued);
    for _ in 0..2 {
        let seen = node.introspect(&caller, &token).await;
        if seen.status != 200 {
            return failed("introspection", &seen);
        }
        if seen.json()["active"] != true {
            return Err("token inactive at once".to_owned());
        }
    }
    let revoked = node.revoke(&caller, &token).await;
    if revoked.status != 200 {
        return failed("revocation", &revoked);
    }
    let seen = node.introspect(&caller, &token).await;
    if seen.status != 200 {
        return failed("introspection", &seen);
    }
    Ok((token, seen.json()["active"] == true))
}

/// Whether a row is there, in the tables that are ours.
async fn has(server: &PrivateServer, database: &str, table: &str, token: &str) -> bool {
    let id = TokenText::parse(token).unwrap().id().0;
    let question = format!("select exists (select from public.{table} where id = '{id}')");
    server.answer(database, &question).await.unwrap()
}

async fn tried(server: &PrivateServer, database: &str, crashes: bool) -> Outcome {
    let node = match Node::attempt(&server.url(database)) {
        Ok(node) => node,
        Err(why) => return Outcome { refused: Some(why), ..Outcome::default() },
    };
    let caller = node.client("orders");
    let mut outcome = Outcome::default();
    let (turns, mut calls) = (Arc::new(Semaphore::new(AT_ONCE)), JoinSet::new());
    for _ in 0..TOKENS {
        let (face, caller, turns) = (*node, caller.clone(), Arc::clone(&turns));
        calls.spawn(async move {
            let _turn = turns.acquire().await.unwrap();
            live_and_die(face, caller).await
        });
    }
    let mut tokens = Vec::new();
    for called in calls.join_all().await {
        match called {
            Ok((token, is_active)) => {
                outcome.active += usize::from(is_active);
                tokens.push(token);
            }
            Err(why) => *outcome.failed.entry(why).or_default() += 1,
        }
    }
    if crashes {
        server.halt(Signal::KILL).await;
        server.resume().await;
    }
    for token in tokens {
        for table in ["access_token", "revoked_token"] {
            outcome.lost += usize::from(!has(server, database, table, &token).await);
        }
    }
    outcome
}

/// The statement that makes a setting, and the one that takes it back.
fn statements(level: Level, database: &str, setting: &str, value: &str) -> [String; 2] {
    let whose = match level {
        Level::Database => format!("database {database}"),
        Level::Role => "role postgres".to_owned(),
        Level::System => "system".to_owned(),
    };
    [format!("alter {whose} set {setting} = {value}"), format!("alter {whose} reset {setting}")]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_the_database_is_set_to_the_promise_is_kept() {
    if !postgres::is_installed() {
        println!("{NO_POSTGRES}");
        return;
    }
    let is_whole = env::var_os("JETON_FAULT_ROUNDS").is_some();
    let server = PrivateServer::start(&SERVER);
    server.execute(&["create database template_of_trials"]).await;
    let first = Database::at(server.url("template_of_trials"));
    let store = first.migrated().await;
    store.close().await;
    first.execute_all(DECOY).await;

    println!("| setting | value | set for | outcome |\n|---|---|---|---|");
    let mut wrong = Vec::new();
    let levels = [Level::Database, Level::Role, Level::System];
    let trials = SETTINGS.into_iter().flat_map(|trial| levels.map(|level| (trial, level)));
    let trials = trials.filter(|((setting, _, when), level)| {
        let is_possible = *level == Level::System || !OF_THE_SERVER.contains(setting);
        is_possible && (is_whole || *when == Always && *level == Level::Database)
    });
    for (number, ((setting, value, _), level)) in trials.enumerate() {
        let database = format!("trial{number}");
        let create = format!("create database {database} template template_of_trials");
        let [set, reset] = statements(level, &database, setting, value);
        server.execute(&[&create, &set, RELOAD]).await;
        let outcome = tried(&server, &database, OF_CRASHES.contains(&setting)).await;
        server.execute(&[&reset, RELOAD]).await;
        let whose = format!("{level:?}").to_lowercase();
        let row = format!("| `{setting}` | `{value}` | {whose} | {} |", outcome.told());
        println!("{row}");
        if !outcome.is_right() {
            wrong.push(row);
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
