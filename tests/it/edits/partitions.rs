//! Partitions of the token table that somebody detaches, drops or attaches by hand.

use std::time::Duration;

use futures_util::future::join_all;
use jeton::domain::{Clock, SystemClock};
use tokio::time::{Instant, sleep};

use super::{Known, Scene};
use crate::support::Kind;

/// No statement announces that a partition is gone: nodes look for it, four times a lease. It takes
/// half a second, and longer where the machine of the tests is busy.
const PATIENCE: Duration = Duration::from_secs(5);

async fn until_inactive(scene: &Scene, known: &Known, case: &str) {
    let began = Instant::now();
    while scene.is_active(known).await {
        assert!(began.elapsed() < PATIENCE, "it is active still: {case}");
        sleep(Duration::from_millis(20)).await;
    }
}

/// A statement about the partition that a token is in.
fn of_partition(statement: &str) -> String {
    format!(
        "do $$
         declare partition regclass;
             bounds text;
         begin
             select tableoid into partition from access_token where id = {{token}};
             select pg_get_expr(relpartbound, oid) into bounds from pg_class where oid = partition;
             {statement}
         end $$"
    )
}

const DETACH: &str = "execute format('alter table access_token detach partition %s', partition);";

#[tokio::test(flavor = "multi_thread")]
async fn a_partition_that_is_detached_or_dropped_is_gone_for_running_nodes() {
    for (statement, audit) in [
        (DETACH.to_owned(), "token.truncate"),
        ("execute format('drop table %s', partition);".to_owned(), "token.truncate"),
        // No triggers of access_token see what is written meanwhile.
        (
            format!(
                "{DETACH}
                 execute format('update %s set expires_at = issued_at + interval ''1us''',
                     partition);
                 execute format('alter table access_token attach partition %s %s',
                     partition, bounds);"
            ),
            "token.update",
        ),
    ] {
        let scene = Scene::new(Kind::Postgres).await;
        let known = scene.client("orders").await;
        scene.cache(&known, true).await;
        let noted = scene.trail().await.len();
        scene.write("", &of_partition(&statement), &known).await;
        until_inactive(&scene, &known, &statement).await;
        assert_eq!(scene.trail().await.split_off(noted), [audit], "{statement}");
    }
}

/// Jeton drops a partition when all in it is dead, and that is nobody's doing.
#[tokio::test(flavor = "multi_thread")]
async fn a_dead_partition_that_jeton_drops_is_no_change() {
    let scene = Scene::new(Kind::Postgres).await;
    let seen = "select count(*) from token_partition";
    let before = scene.node.database.number(seen).await;
    let long_ago = SystemClock.now().minus(Duration::from_hours(96));
    let made = scene.node.store.upkeep(long_ago, 90).await.unwrap().partitions_made;
    assert_eq!(scene.node.database.number(seen).await, before + i64::from(made));
    let (noted, written) = (scene.trail().await.len(), scene.last_change().await);
    // The node may drop some of them itself, and a drop that finds the table locked gives up until
    // the next round.
    let began = Instant::now();
    while scene.node.database.number(seen).await > before {
        assert!(began.elapsed() < PATIENCE, "dead partitions stay");
        let done = scene.node.store.upkeep(SystemClock.now(), 90).await.unwrap();
        assert!(done.expired_partitions_dropped <= made, "{done:?}");
    }
    assert_eq!((scene.trail().await.len(), scene.last_change().await), (noted, written));
}

/// Two nodes look at the same partitions. One that the other has just dropped fails nothing.
#[tokio::test(flavor = "multi_thread")]
async fn upkeep_of_many_nodes_at_once_does_not_fail() {
    let scene = Scene::new(Kind::Postgres).await;
    for days in 4..12 {
        let long_ago = SystemClock.now().minus(Duration::from_hours(24 * days));
        scene.node.store.upkeep(long_ago, 90).await.unwrap();
        let rounds = (0..6).map(|_| scene.node.store.upkeep(SystemClock.now(), 90));
        let done: Result<Vec<_>, _> = join_all(rounds).await.into_iter().collect();
        done.unwrap();
    }
}

/// As an older version of Jeton does, or a person.
#[tokio::test(flavor = "multi_thread")]
async fn a_partition_that_others_attach_is_watched_from_the_next_upkeep_on() {
    let scene = Scene::new(Kind::Postgres).await;
    let known = scene.client("orders").await;
    let by_hand = "create table by_hand (like access_token including all);
                   alter table access_token attach partition by_hand
                   for values from ('ffffffff-0000-0000-0000-000000000000') to (maxvalue)";
    scene.write("", by_hand, &known).await;
    scene.node.store.upkeep(SystemClock.now(), 90).await.unwrap();
    let noted = scene.trail().await.len();
    scene.write("", "truncate by_hand", &known).await;
    assert_eq!(scene.trail().await.split_off(noted), ["token.truncate"]);
    scene.write("", "drop table by_hand", &known).await;
    let began = Instant::now();
    while scene.trail().await.len() < noted + 2 {
        assert!(began.elapsed() < PATIENCE, "the node does not look");
        sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(scene.trail().await.last().unwrap(), "token.truncate");
}
