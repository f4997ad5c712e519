//! A node of the version before, which writes to the tables itself and goes on as the owner.

use jeton::domain::{Clock, SystemClock};
use sqlx::{AssertSqlSafe, PgConnection, Row};

use super::world::World;
use crate::support::{TestNode, TestNodeOptions};

async fn number(connection: &mut PgConnection, query: &str) -> i64 {
    let query = AssertSqlSafe(query.to_owned());
    sqlx::query_scalar(query).fetch_one(connection).await.unwrap()
}

/// Its statements as they were, and that nodes of both versions wait for each other.
#[tokio::test(flavor = "multi_thread")]
async fn a_node_of_the_version_before_goes_on() {
    let world = World::new().await;
    let mut old = world.connect("owner").await;
    let joined = "insert into node (id, applied, lease_until, lease_ms)
        values (gen_random_uuid(), (select coalesce(max(id), 0) from change),
                clock_timestamp() + make_interval(secs => 700 / 1000.0), 700)
        returning id::text";
    let node: String = sqlx::query_scalar(joined).fetch_one(&mut old).await.unwrap();
    let renew = format!(
        "update node set applied = (select max(id) from change), renewals = renewals + 1,
             lease_until = clock_timestamp() + make_interval(secs => lease_ms / 1000.0)
         where id = '{node}'
         returning renewals, (select last_value from change_id_seq),
             (select notice_lost_partitions() where true)"
    );
    let renewed = sqlx::query(AssertSqlSafe(renew)).fetch_one(&mut old).await.unwrap();
    assert_eq!(renewed.get::<i64, _>(0), 1);
    let proof = format!("select count(*) from client where (select require_lease('{node}', 1))");
    assert_eq!(number(&mut old, &proof).await, 0);

    // It does not hear of this change, so that a new node waits until its lease is over.
    let new = TestNode::on(world.database.shared(), TestNodeOptions::default()).await;
    let orders = new.client("orders").await;
    let token = new.issue(&orders).await.unwrap().access_token;
    new.revoke(&orders, &token).await.unwrap();
    let there = format!("select count(*) from node where id = '{node}'");
    assert_eq!(number(&mut old, &there).await, 0);

    // And it waits for one that it finds in the list, and ends its lease.
    world.of("service").execute_all("select join_feed(1)").await;
    let over = "select count(*) from node
        where lease_ms = 1 and expire_lease(id, renewals, lease_until::text::timestamptz)";
    assert_eq!(number(&mut old, over).await, 1);

    for statement in [
        "update client set state = 'disabled', version = version + 1
             from (select set_config('jeton.actor', 'operator:x', true)) as actor",
        "delete from revoked_token where keep_until < least(now(), now()) - interval '1 hour'",
        "delete from client where client_id = 'orders'",
        "select forget_changes()",
        "select cut_audit(90, 20000)",
        "select keep_announcing()",
    ] {
        sqlx::raw_sql(statement).execute(&mut old).await.unwrap();
    }
    let last = "select count(*) from audit where action = 'client.delete'";
    assert_eq!(number(&mut old, last).await, 1);

    // Partitions, under the lock of then.
    let start = SystemClock.now().unix_seconds() / 21_600 * 21_600 + 9 * 21_600;
    let make = format!(
        "begin;
         select pg_advisory_xact_lock(7160834520117);
         create table later (like access_token including all);
         alter table access_token attach partition later
             for values from (partition_bound({start})) to (partition_bound({start} + 21600));
         select announce_partition_writes('later');
         commit"
    );
    sqlx::raw_sql(AssertSqlSafe(make)).execute(&mut old).await.unwrap();
    sqlx::raw_sql("drop table if exists later").execute(&mut old).await.unwrap();
}
