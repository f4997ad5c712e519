//! A node that runs as `service` for days, while callers ask it all the time. The days pass within
//! a minute: libfaketime moves the clocks of the node and of the database together.

use std::time::{Duration, Instant};

use serde_json::Value;
use sqlx::{Connection, PgConnection};

use super::world::World;
use crate::support::{
    Database,
    binary::{Served, jeton, run, run_json},
    clock::Clock,
    http::{get, post_form},
    postgres::{self, PrivateServer},
};

/// How far each step goes. Partitions stand ready for a day, so that a caller notices none.
const STEP: u32 = 6;
const STEPS: u32 = 20;

/// Before the node starts: the least that is kept of the audit trail.
const EARLIER: i64 = 30 * 24;

const HOUR: i64 = 3_600;

struct Issued {
    step: u32,
    text: String,
    is_revoked: bool,
}

/// Somebody who asks a node for tokens and what they are worth.
struct Caller<'a> {
    served: &'a Served,
    secret: &'a str,
}

impl Caller<'_> {
    /// Asks until the node can answer: for a moment after its clock was set it has no lease.
    async fn call(&self, path: &str, form: &str) -> Value {
        let ask = || post_form(self.served.http, path, "orders", self.secret, form);
        let began = Instant::now();
        let mut answer = ask().await;
        while answer.status == 503 && began.elapsed() < Duration::from_secs(30) {
            answer = ask().await;
        }
        assert_eq!(answer.status, 200, "{path}: {:?}", answer.body);
        if answer.body.is_empty() { Value::Null } else { answer.json() }
    }

    async fn issue(&self) -> String {
        let issued = self.call("/oauth2/token", "grant_type=client_credentials").await;
        issued["access_token"].as_str().unwrap().to_owned()
    }

    async fn is_active(&self, token: &str) -> bool {
        let seen = self.call("/oauth2/introspect", &format!("token={token}")).await;
        seen["active"].as_bool().unwrap()
    }

    /// A metric, or zero where nothing was counted yet.
    async fn metric(&self, name: &str) -> u64 {
        let page = get(self.served.probes(), "/metrics").await;
        let page = String::from_utf8(page.body.to_vec()).unwrap();
        let value = page.lines().find_map(|line| line.strip_prefix(name));
        value.map_or(0, |value| value.trim().parse().unwrap())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_serves_for_days_without_the_rights_of_the_owner() {
    let Some(clock) = Clock::new().filter(|_| postgres::is_installed()) else {
        return println!("not run: it wants a Postgres of its own, and libfaketime to set clocks");
    };
    let environment = clock.environment();
    let database = tokio::task::spawn_blocking(move || PrivateServer::start_in(&environment, &[]));
    let database = database.await.unwrap();
    let mut admin = PgConnection::connect(&database.url("postgres")).await.unwrap();
    sqlx::query("create database jeton").execute(&mut admin).await.unwrap();
    let world = World::alone(Database::at(database.url("jeton"))).await;
    let create = ["client", "create", "--client-id", "orders", "--token-lifetime-seconds", "86400"];
    let quota = ["--tokens-per-second", "100000", "--token-burst", "100000"];
    let created = run_json(&[&create[..], &quota].concat(), &world.of("operator"));

    clock.set(EARLIER * HOUR);
    let mut command = jeton();
    command.envs(clock.environment());
    let more = ["--no-migrate", "--audit-days", "1"];
    let served = Served::start_as(&mut command, &world.of("service"), &more);
    let caller = Caller { served: &served, secret: created["client_secret"].as_str().unwrap() };
    let mut tokens = vec![Issued { step: 0, text: caller.issue().await, is_revoked: false }];
    // A first round that began after the clock was set would be the only one of the first step.
    let mut calls = until_looked_after(&caller, &world, 0).await;
    for step in 1..=STEPS {
        clock.set((EARLIER + i64::from(step * STEP)) * HOUR);
        calls += until_looked_after(&caller, &world, u64::from(step)).await;
        for token in &tokens {
            // They live for a day. At the very end of it, that may be over or not.
            if step - token.step != 24 / STEP {
                let lives = step - token.step < 24 / STEP && !token.is_revoked;
                let found = caller.is_active(&token.text).await;
                assert_eq!(found, lives, "of step {} in step {step}", token.step);
            }
        }
        let text = caller.issue().await;
        let is_revoked = step % 4 == 0;
        if is_revoked {
            caller.call("/oauth2/revoke", &format!("token={text}")).await;
        }
        tokens.push(Issued { step, text, is_revoked });
    }
    println!("{STEPS} steps of {STEP} h, {calls} calls beside them");
    assert_eq!(caller.metric("jeton_upkeep_rounds_total{outcome=\"FAILED\"}").await, 0);
    assert_ne!(caller.metric("jeton_upkeep_rounds_total{outcome=\"OK\"}").await, 0);
    assert!(caller.metric("jeton_partitions_made_total").await >= u64::from(STEPS));
    assert!(caller.metric("jeton_expired_partitions_dropped_total").await >= u64::from(STEPS - 6));
    assert!(caller.metric("jeton_revocations_forgotten_total").await >= 2);
    assert!(caller.metric("jeton_audit_forgotten_total").await >= 2);
    let standing = "select count(*) from pg_inherits where inhparent = 'access_token'::regclass";
    assert!(world.ask::<i64>(standing).await <= 12);
    let kept = "select count(*) from audit where action = 'token.revoke'";
    assert_eq!(world.ask::<i64>(kept).await, i64::from(STEPS / 4));
    assert!(run(&["audit", "verify"], &world.of("reader")).status.success());
    let said = served.end();
    // It says that its clock was set, or that it is ahead until the other is set too; nothing else is
    // amiss.
    let complaints = said.lines().filter(|line| {
        let is_of_clock =
            ["node_clock", "the clock was set"].iter().any(|text| line.contains(text));
        (line.contains("WARN") || line.contains("ERROR")) && !is_of_clock
    });
    assert_eq!(complaints.collect::<Vec<_>>(), [""; 0]);
}

/// Issues and introspects until the node has looked after its store in this step and has a lease
/// again. How many calls that were.
async fn until_looked_after(caller: &Caller<'_>, world: &World, step: u64) -> u32 {
    let began = Instant::now();
    let mut calls = 0;
    loop {
        let token = caller.issue().await;
        assert!(caller.is_active(&token).await);
        calls += 2;
        let rounds = caller.metric("jeton_upkeep_rounds_total{outcome=\"OK\"}").await;
        let has_lease = "select exists (select from node where lease_until > clock_timestamp())";
        if rounds > step && world.ask::<bool>(has_lease).await {
            return calls;
        }
        assert!(began.elapsed() < Duration::from_secs(30), "{rounds} rounds in step {step}");
    }
}
