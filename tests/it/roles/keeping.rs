//! What nodes may ask the database to do, asked by a node that somebody has broken into.

use std::{collections::BTreeSet, time::Duration};

use jeton::{
    domain::{Clock, SystemClock, Timestamp},
    store::{MaintainedStore, PostgresOptions, PostgresStore},
};
use sqlx::{AssertSqlSafe, PgConnection, Row};

use super::world::World;
use crate::support::{TestNode, TestNodeOptions};

/// What the node gets for a query, as text.
async fn asked(node: &mut PgConnection, query: &str) -> String {
    let query = format!("select ({query})::text");
    let answer = sqlx::query_scalar::<_, Option<String>>(AssertSqlSafe(query.clone()));
    let answer = answer.fetch_one(node).await;
    answer.unwrap_or_else(|error| panic!("{query}: {error}")).unwrap_or_default()
}

/// Some rows of the trail are so many days old.
async fn age_trail(world: &World, days: [u32; 4]) {
    let [a, b, c, d] = days;
    world
        .database
        .execute_all(&format!(
            "select record_audit('client.update', null, null, null, '{{}}')
                 from generate_series(1, 4);
             alter table audit disable trigger user;
             update audit set at = now() - make_interval(days => (array[{a}, {b}, {c}, {d}])[seq]);
             alter table audit enable trigger user"
        ))
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_cannot_erase_what_happened_lately() {
    let world = World::new().await;
    age_trail(&world, [60, 40, 20, 0]).await;
    let mut node = world.connect("service").await;
    let mut cut = 0;
    for call in [
        "cut_audit(0, 1000000)",
        "cut_audit(-100000, 1000000)",
        "cut_audit(1, 9223372036854775807)",
        "cut_audit(null, null)",
    ] {
        cut += asked(&mut node, call).await.parse::<i64>().unwrap();
    }
    assert_eq!(cut, 2);
    let left = "select array_agg(seq order by seq)::text from audit where action <> 'audit.cut'";
    assert_eq!(world.ask::<String>(left).await, "{3,4}");
    // The owner may.
    let mut owner = world.connect("owner").await;
    assert_eq!(asked(&mut owner, "cut_audit(10, 1000000)").await, "1");
    assert_eq!(world.ask::<String>(left).await, "{4}");
}

/// When the partitions end, in seconds since 1970.
async fn ends(world: &World) -> BTreeSet<i64> {
    let query = "select array_agg(extract(epoch from
                     to_timestamp(substr(relname, 14) || '+00', 'YYYYMMDD\"t\"HH24TZH'))::bigint)
                 from pg_inherits join pg_class on pg_class.oid = inhrelid
                 where inhparent = 'access_token'::regclass";
    let starts: Vec<i64> = world.ask(query).await;
    starts.into_iter().map(|start| start + 6 * 3_600).collect()
}

/// A token lives for a day and what is left of its last second; an hour is added for clocks.
fn is_dead(end: i64, now: Timestamp) -> bool {
    end + 86_401 + 3_600 < now.unix_seconds()
}

#[tokio::test(flavor = "multi_thread")]
async fn no_moment_drops_a_living_partition_or_makes_room_without_end() {
    let world = World::new().await;
    let mut node = world.connect("service").await;
    for moment in ["'infinity'", "'-infinity'", "'9999-01-01'", "'4713-01-01 BC'", "null"] {
        for call in ["make_partitions", "drop_dead_partitions", "forget_revocations"] {
            let done = asked(&mut node, &format!("{call}({moment})")).await;
            assert!(done.is_empty() || done == "0", "{call}({moment}): {done}");
        }
    }
    assert_eq!(ends(&world).await.len(), 6);
    // Every hour of four weeks.
    let every = "select sum(make_partitions(now() + make_interval(hours => hour)))
                 from generate_series(-336, 336) as hour";
    asked(&mut node, every).await;
    let all = ends(&world).await;
    assert!(all.len() <= 2 * 28 + 6, "{}", all.len());
    for moment in ["'infinity'", "now() + interval '31 hours'", "now()"] {
        while asked(&mut node, &format!("drop_dead_partitions({moment})")).await == "1" {}
        let gone = all.difference(&ends(&world).await).copied().collect::<Vec<_>>();
        assert!(!gone.is_empty());
        assert!(gone.iter().all(|end| is_dead(*end, SystemClock.now())), "{moment}: {gone:?}");
    }
}

/// Triggers of a statement are not passed on to partitions, which therefore get some of their own.
#[tokio::test(flavor = "multi_thread")]
async fn each_new_partition_is_watched() {
    let world = World::new().await;
    let mut node = world.connect("service").await;
    let made = asked(&mut node, "make_partitions(now() + interval '3 days')").await;
    assert_ne!(made, "0");
    let unwatched = "select count(*) from pg_inherits join pg_class on pg_class.oid = inhrelid
        where inhparent = 'access_token'::regclass
          and (not exists (select from token_partition where name = relname)
               or not exists (select from pg_trigger where tgrelid = inhrelid and tgenabled = 'A'
                              and tgname = 'access_token_partition_is_announced'))";
    assert_eq!(world.ask::<i64>(unwatched).await, 0);
}

/// A clock that is a day and more ahead, be it that of the database or that of the node, takes no
/// living token away: what counts is the other one.
#[tokio::test(flavor = "multi_thread")]
async fn the_earlier_of_both_clocks_decides_what_is_dead() {
    let world = World::new().await;
    let store = service_store(&world);
    let now = SystemClock.now();
    let mut standing = ends(&world).await;
    // To the first of these nodes the database is four days ahead; the last is ahead itself.
    for hours in [0, 31, 62, 96, 96 + 31] {
        let then = now.minus(Duration::from_hours(96)).plus(Duration::from_hours(hours));
        store.upkeep(then, 90).await.unwrap();
        let left = ends(&world).await;
        let gone = standing.difference(&left).copied().collect::<Vec<_>>();
        let both = |end: i64| is_dead(end, then) && is_dead(end, SystemClock.now());
        assert!(gone.iter().all(|end| both(*end)), "{hours} h: {gone:?}");
        assert!(!left.iter().any(|end| both(*end)), "{hours} h: {left:?}");
        standing = left;
    }
    assert!(standing.iter().all(|end| !is_dead(*end, now)));
}

/// The mark of a token that says that it may go at once would take the place of one that counts.
#[tokio::test(flavor = "multi_thread")]
async fn a_revocation_cannot_be_forgotten_before_its_token_is_dead() {
    let world = World::new().await;
    let node = TestNode::on(world.database.shared(), TestNodeOptions::default()).await;
    let orders = node.client("orders").await;
    let token = node.issue(&orders).await.unwrap().access_token;
    let id = node.introspect(&orders, &token).await.unwrap().token_id;
    let store = service_store(&world);
    let mark = format!("insert into revoked_token values ('{id}', 'epoch', 'epoch')");
    world.of("service").execute_all(&mark).await;
    node.revoke(&orders, &token).await.unwrap();
    for now in [SystemClock.now(), SystemClock.now().plus(Duration::from_hours(24 * 365))] {
        assert_eq!(store.upkeep(now, 90).await.unwrap().revocations_forgotten, 0);
    }
    assert!(!node.introspect(&orders, &token).await.unwrap().active);
    // And one whose token has been dead for long goes.
    let dead = "insert into revoked_token
                values (partition_bound(1000000000), now() - interval '3 days',
                        now() - interval '2 days')";
    world.database.execute_all(dead).await;
    assert_eq!(store.upkeep(SystemClock.now(), 90).await.unwrap().revocations_forgotten, 1);
}

/// The function that revokes batches tells the triggers by a setting that the trail has its rows.
#[tokio::test(flavor = "multi_thread")]
async fn a_node_cannot_say_that_the_trail_has_a_revocation_already() {
    let world = World::new().await;
    let node = TestNode::on(world.database.shared(), TestNodeOptions::default()).await;
    let orders = node.client("orders").await;
    for role in ["service", "operator", "owner"] {
        let token = node.issue(&orders).await.unwrap().access_token;
        let id = node.introspect(&orders, &token).await.unwrap().token_id;
        world
            .of(role)
            .execute_all(&format!(
                "begin; set local jeton.is_noted = 'on';
                 insert into revoked_token values ('{id}', now(), now());
                 commit"
            ))
            .await;
        let audited = format!("select count(*) from audit where subject = '{id}'");
        let announced = format!("select count(*) from change where subject = '{id}'");
        // The owner could as well write the trail itself, or turn the triggers off.
        let rows = i64::from(role != "owner");
        assert_eq!(world.ask::<i64>(&audited).await, rows, "{role}");
        assert_eq!(world.ask::<i64>(&announced).await, rows, "{role}");
    }
}

/// Of a client that was deleted is known for as long as a token of it could live.
#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_key_is_remembered_while_its_tokens_could_live() {
    let world = World::new().await;
    let store = service_store(&world);
    world
        .database
        .execute_all(
            "insert into client (id, client_id) values (gen_random_uuid(), 'orders');
             delete from client",
        )
        .await;
    let again = "insert into client (id, client_id) select id, 'again' from deleted_key";
    for (age, left) in [("0 hours", 1), ("25 hours", 1), ("26 hours", 0)] {
        let aged = format!("update deleted_key set deleted_at = now() - interval '{age}'");
        world.database.execute_all(&aged).await;
        store.upkeep(SystemClock.now(), 90).await.unwrap();
        assert_eq!(world.ask::<i64>("select count(*) from deleted_key").await, left, "{age}");
        let refusal = world.refusal("operator", again).await;
        assert_eq!(refusal.is_some(), left == 1, "{age}");
    }
    // The owner may have deleted it by mistake.
    let mistake = "insert into client (id, client_id) values (gen_random_uuid(), 'orders');
                   delete from client;";
    assert_eq!(world.refusal("owner", &format!("{mistake} {again}")).await, None);
}

/// However old a change is: as long as one node has not applied it, it stays.
#[tokio::test(flavor = "multi_thread")]
async fn changes_are_forgotten_once_every_node_has_applied_them_and_not_before() {
    let world = World::new().await;
    let mut node = world.connect("service").await;
    world.database.execute_all("select announce('everything', null)").await;
    let mut members = Vec::new();
    for _ in 0..2 {
        let joined = sqlx::query("select node_id::text, place from join_feed(4000)");
        let joined = joined.fetch_one(&mut node).await.unwrap();
        members.push(joined.get::<String, _>(0));
    }
    world
        .database
        .execute_all(
            "select announce('everything', null) from generate_series(1, 4);
             update change set changed_at = now() - interval '30 days'",
        )
        .await;
    let left = "select array_agg(id order by id)::text from change";
    // Both have applied the first two changes when they join: that of the installation, and ours.
    assert_eq!(asked(&mut node, "forget_changes()").await, "1");
    for (member, place, expected) in [
        (0, 6, "{2,3,4,5,6}"),
        (1, 4, "{4,5,6}"),
        // The newest one is the place at which a node joins.
        (1, 6, "{6}"),
    ] {
        let member = &members[member];
        let renew = format!("select newest from renew_lease('{member}', {place}, false)");
        assert_eq!(asked(&mut node, &renew).await, "6");
        asked(&mut node, "forget_changes()").await;
        assert_eq!(world.ask::<String>(left).await, expected);
    }
    // A node that is not there, or any other than one's own, cannot be spoken for.
    let other = "select newest from renew_lease(gen_random_uuid(), 9, false)";
    assert_eq!(asked(&mut node, other).await, "");
    assert_eq!(world.ask::<i64>("select max(applied) from node").await, 6);
    // No lease is longer than somebody waits for it, and none runs that is another's to end.
    asked(&mut node, "select count(*) from join_feed(2147483647)").await;
    let longest = "select max(lease_until) < clock_timestamp() + interval '5 seconds' from node";
    assert!(world.ask::<bool>(longest).await);
    let end = "select count(*) from node where end_lease(handle, renewals, lease_until)";
    assert_eq!(asked(&mut node, end).await, "0");
}

/// Anybody who may connect may wake the nodes, which look and find nothing.
#[tokio::test(flavor = "multi_thread")]
async fn being_woken_for_nothing_changes_nothing() {
    let world = World::new().await;
    let node = TestNode::on(world.database.shared(), TestNodeOptions::default()).await;
    let orders = node.client("orders").await;
    let token = node.issue(&orders).await.unwrap().access_token;
    let mut stranger = world.connect("stranger").await;
    for number in 0..500 {
        let wake = format!("select pg_notify('jeton_change', '{number}; drop table client')");
        sqlx::raw_sql(AssertSqlSafe(wake)).execute(&mut stranger).await.unwrap();
        if number % 50 == 0 {
            assert!(node.introspect(&orders, &token).await.unwrap().active);
        }
    }
    node.revoke(&orders, &token).await.unwrap();
    assert!(!node.introspect(&orders, &token).await.unwrap().active);
}

fn service_store(world: &World) -> PostgresStore {
    let options = PostgresOptions::waiting(Duration::from_secs(5));
    PostgresStore::at(&world.of("service").url, 4, options).unwrap()
}
