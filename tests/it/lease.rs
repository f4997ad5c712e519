//! The lease by which a node answers, and what waits for it: whatever is acknowledged is true, and
//! every wait has an end.

use std::{sync::Arc, time::Duration};

use jeton::{
    domain::{ClientState, Clock, SystemClock},
    registry::NewSecret,
    store::Retirement,
};
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use tokio::time::{Instant, sleep};
use tonic::Code;

use crate::support::{
    Database, Kind, TestNode, TestNodeOptions,
    node::{Credentials, NO_CACHE},
};

async fn admin(database: &Database) -> PgConnection {
    PgConnection::connect(&database.url).await.unwrap()
}

async fn number(admin: &mut PgConnection, query: &str) -> i64 {
    let query = AssertSqlSafe(query.to_owned());
    sqlx::query_scalar(query).fetch_one(admin).await.unwrap()
}

/// What an operator does while a token is being recorded.
#[derive(Debug, Clone, Copy)]
enum Act {
    Retire,
    DisableAndEnable,
    RevokeTokens,
    Delete,
}

impl Act {
    const ALL: [Self; 4] = [Self::Retire, Self::DisableAndEnable, Self::RevokeTokens, Self::Delete];

    async fn carry_out(self, node: &TestNode, caller: &Credentials) {
        let (registry, id) = (&node.registry, &caller.client.client_id);
        match self {
            Self::Retire => {
                let secret = caller.secret.id();
                registry.retire_secret(id, secret, Retirement::Retired).await.unwrap();
            }
            Self::DisableAndEnable => {
                registry.set_client_state(id, ClientState::Disabled).await.unwrap();
                registry.set_client_state(id, ClientState::Active).await.unwrap();
            }
            Self::RevokeTokens => registry.revoke_tokens(id).await.unwrap(),
            Self::Delete => registry.delete_client(id).await.unwrap(),
        }
    }
}

/// The statement has looked at client and secret already, and its commit is held up.
#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_is_recorded_while_its_client_changes_is_refused_or_dead() {
    for cache in [TestNodeOptions::default().cache, NO_CACHE] {
        let database = Database::new(Kind::Postgres).await;
        let options = TestNodeOptions { cache, ..TestNodeOptions::default() };
        let node = Arc::new(TestNode::on(database, options).await);
        let server = node.resource_server("api").await;
        node.database
            .execute_all(
                "create function hold() returns trigger language plpgsql as $$
                 begin perform pg_advisory_xact_lock(42); return new; end $$;
                 create trigger hold before insert on access_token
                     for each row execute function hold()",
            )
            .await;
        let mut admin = admin(&node.database).await;
        for act in Act::ALL {
            let caller = Arc::new(node.client(&format!("{act:?}")).await);
            node.issue(&caller).await.unwrap();
            sqlx::query("select pg_advisory_lock(42)").execute(&mut admin).await.unwrap();
            let issuing = tokio::spawn({
                let (node, caller) = (Arc::clone(&node), Arc::clone(&caller));
                async move { node.issue(&caller).await }
            });
            let held = "select count(*) from pg_locks where locktype = 'advisory' and not granted";
            while number(&mut admin, held).await == 0 {
                sleep(Duration::from_millis(5)).await;
            }
            act.carry_out(&node, &caller).await;
            sqlx::query("select pg_advisory_unlock(42)").execute(&mut admin).await.unwrap();
            match issuing.await.unwrap() {
                Err(refused) => {
                    let honest = [Code::Unauthenticated, Code::Unavailable];
                    assert!(honest.contains(&refused.code()), "{act:?}: {refused}");
                }
                Ok(issued) => {
                    let found = node.introspect(&server, &issued.access_token).await.unwrap();
                    assert!(
                        !found.active,
                        "{act:?} was acknowledged before the token was answered"
                    );
                }
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn all_tokens_of_a_client_are_revoked_by_a_number_that_never_goes_down() {
    for kind in Kind::BOTH {
        let first = TestNode::start(kind).await;
        let second = TestNode::beside(&first, TestNodeOptions::default()).await;
        let (one, other) = (first.client("one").await, first.client("other").await);
        let tokens = [
            first.issue(&one).await.unwrap().access_token,
            second.issue(&one).await.unwrap().access_token,
        ];
        let kept = first.issue(&other).await.unwrap().access_token;
        for node in [&first, &second] {
            for token in &tokens {
                assert!(node.introspect(&one, token).await.unwrap().active);
            }
        }
        first.registry.revoke_tokens(&one.client.client_id).await.unwrap();
        for node in [&first, &second] {
            for token in &tokens {
                assert!(!node.introspect(&one, token).await.unwrap().active, "{kind:?}");
            }
            assert!(node.introspect(&other, &kept).await.unwrap().active, "{kind:?}");
            let fresh = node.issue(&one).await.unwrap().access_token;
            assert!(node.introspect(&one, &fresh).await.unwrap().active, "{kind:?}");
        }

        first.database.execute("update installation set generation = generation + 1").await;
        for node in [&first, &second] {
            assert!(!node.introspect(&other, &kept).await.unwrap().active, "{kind:?}");
        }
        for table in ["client", "installation"] {
            let why = first.database.refuses(&format!("update {table} set generation = 0")).await;
            assert!(why.contains("never becomes smaller"), "{kind:?}: {why}");
        }
    }
}

/// A row of a node that nobody renews, and whose end is far away by the clock of the database.
#[tokio::test(flavor = "multi_thread")]
async fn a_lease_that_is_not_renewed_is_over_whatever_clock_its_row_names() {
    let node = TestNode::start(Kind::Postgres).await;
    let caller = node.client("orders").await;
    let mut admin = admin(&node.database).await;
    for until in ["infinity", "now() + interval '31 hours'", "now() - interval '1 millisecond'"] {
        let until = if until == "infinity" { "'infinity'" } else { until };
        let dead = format!(
            "insert into node (id, applied, lease_until, lease_ms)
             values (gen_random_uuid(), 0, {until}, 700)"
        );
        let token = node.issue(&caller).await.unwrap().access_token;
        // The node may see the row as soon as it is there, in a round of upkeep for instance.
        let written = Instant::now();
        sqlx::query(AssertSqlSafe(dead)).execute(&mut admin).await.unwrap();
        let began = Instant::now();
        node.revoke(&caller, &token).await.unwrap();
        let (lease, took) = (Duration::from_millis(700), written.elapsed());
        assert!(took >= lease, "{until}: the lease may still have run: {took:?}");
        let took = began.elapsed();
        assert!(took < lease * 5, "{until}: it was waited for longer than it can last: {took:?}");
        sqlx::query("delete from node where lease_ms = 700").execute(&mut admin).await.unwrap();
    }
}

/// The lock that puts revocations in order is held by a session that does not let go.
#[tokio::test(flavor = "multi_thread")]
async fn a_revocation_that_finds_its_lock_taken_ends_and_leaves_nothing_behind() {
    let node = TestNode::start(Kind::Postgres).await;
    let caller = node.client("orders").await;
    let token = node.issue(&caller).await.unwrap().access_token;
    let mut admin = admin(&node.database).await;
    let lock = "begin; lock table only installation in share update exclusive mode";
    sqlx::raw_sql(lock).execute(&mut admin).await.unwrap();
    let began = Instant::now();
    let refused = node.revoke(&caller, &token).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unavailable, "{refused}");
    assert!(began.elapsed() < Duration::from_secs(4), "{:?}", began.elapsed());
    let waiting = "select count(*) from pg_locks where locktype = 'relation' and not granted";
    assert_eq!(number(&mut admin, waiting).await, 0, "a process of the server still waits");
    sqlx::query("rollback").execute(&mut admin).await.unwrap();
    node.revoke(&caller, &token).await.unwrap();
    assert!(!node.introspect(&caller, &token).await.unwrap().active);
}

/// Both clocks were set by more than what is made ahead, as when a machine slept for days.
#[tokio::test(flavor = "multi_thread")]
async fn a_token_for_which_there_is_no_partition_makes_one() {
    let node = TestNode::start(Kind::Postgres).await;
    let caller = node.client("orders").await;
    let mut admin = admin(&node.database).await;
    let partitions: Vec<String> = sqlx::query_scalar(
        "select inhrelid::regclass::text from pg_inherits
         where inhparent = 'access_token'::regclass",
    )
    .fetch_all(&mut admin)
    .await
    .unwrap();
    for partition in partitions {
        let dropped = AssertSqlSafe(format!("drop table {partition}"));
        sqlx::query(dropped).execute(&mut admin).await.unwrap();
    }
    let token = node.issue(&caller).await.unwrap().access_token;
    assert!(node.introspect(&caller, &token).await.unwrap().active);
}

/// A node that was cut off for long enough to lose its row joins anew by itself.
#[tokio::test(flavor = "multi_thread")]
async fn a_node_whose_lease_was_ended_by_others_joins_anew() {
    let node = TestNode::start(Kind::Postgres).await;
    let caller = node.client("orders").await;
    let (_, second) =
        node.registry.add_secret(&caller.client.client_id, NewSecret::default()).await.unwrap();
    let token = node.issue(&caller).await.unwrap().access_token;
    let mut admin = admin(&node.database).await;
    sqlx::query("delete from node").execute(&mut admin).await.unwrap();
    let until = SystemClock.now().plus(Duration::from_secs(10));
    let other = Credentials { client: caller.client.clone(), secret: second };
    loop {
        match node.issue(&other).await {
            Ok(_) => break,
            Err(refused) => assert_eq!(refused.code(), Code::Unavailable),
        }
        assert!(SystemClock.now() < until, "it does not join anew");
    }
    assert!(node.introspect(&caller, &token).await.unwrap().active);
    assert_eq!(number(&mut admin, "select count(*) from node").await, 1);
}
