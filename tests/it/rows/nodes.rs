//! The rows by which nodes tell each other what has changed, and how far each has heard of it. One
//! that cannot be read may delay a change by a lease; it fails none, and hides none.

use std::time::{Duration, Instant};

use tokio::time::sleep;
use tonic::Code;

use super::{Neighbours, values, world::World};
use crate::support::Kind;

/// How long a change may be delayed, and a node may take to begin anew.
const PATIENCE: Duration = Duration::from_secs(30);

/// A change that a node must have heard of when it is acknowledged. Who waits for a lease may be
/// told to ask again.
async fn revoke_and_look(world: &World, neighbours: &Neighbours, what: &str) {
    let token = world.issue(&neighbours.good).await;
    let (active, others) = neighbours.ask(world, &token, what).await;
    assert!(active && others, "{what}");
    let begun = Instant::now();
    while let Err(status) = world.revoke(&neighbours.good, &token).await {
        assert_eq!(status.code(), Code::Unavailable, "{what}: {status:?}");
        assert!(begun.elapsed() < PATIENCE, "{what}");
    }
    let (active, others) = neighbours.ask(world, &token, what).await;
    assert!(!active && others, "{what}");
}

/// The row of a node that has died: whoever changes something waits for it until its lease is over.
#[tokio::test(flavor = "multi_thread")]
async fn whatever_stands_in_the_row_of_a_node_delays_a_change_and_fails_none() {
    let mut world = World::new(Kind::Postgres, async |_| {}).await;
    let neighbours = Neighbours::of(&world).await;
    let (mut tried, mut refused) = (0, 0);
    for (column, of_type) in world.editor.columns("node").await {
        for (value, literal) in values::of(world.kind, &of_type) {
            let what = format!("node.{column} = {value}");
            let insert = "insert into node (id, applied, lease_until, lease_ms)
                          values (gen_random_uuid(), 0, now() - interval '1 day', 99)";
            world.editor.run(insert).await.unwrap();
            let edit = format!("update node set {column} = {literal} where lease_ms = 99");
            match world.editor.run(&edit).await {
                Err(_) => refused += 1,
                Ok(rows) => {
                    assert_eq!(rows, 1, "{what}");
                    tried += 1;
                    revoke_and_look(&world, &neighbours, &what).await;
                }
            }
            // That of the node which is tried has the lease of the default.
            world
                .editor
                .run("delete from node where lease_ms is distinct from 2000")
                .await
                .unwrap();
        }
    }
    assert!(tried > 20 && refused < tried, "{tried} tried, {refused} refused");
    world.end();
}

/// The node whose row it is says for moments that it cannot answer, takes a new lease, and goes on.
#[tokio::test(flavor = "multi_thread")]
async fn a_node_whose_own_row_cannot_be_read_takes_a_new_lease() {
    let mut world = World::new(Kind::Postgres, async |_| {}).await;
    let neighbours = Neighbours::of(&world).await;
    for (column, _) in world.editor.columns("node").await {
        let edit = format!("update node set {column} = null");
        assert_eq!(world.editor.run(&edit).await.unwrap(), 1, "{column}");
        let begun = Instant::now();
        while !world.introspect(&neighbours.good, &neighbours.token).await.is_ok_and(|is| is) {
            assert!(begun.elapsed() < PATIENCE, "{column}");
            sleep(Duration::from_millis(20)).await;
        }
        let mend = "update node set applied = coalesce(applied, 0),
                        lease_until = coalesce(lease_until, now()),
                        joined_at = coalesce(joined_at, now()),
                        lease_ms = coalesce(lease_ms, 2000)";
        world.editor.run(mend).await.unwrap();
        // Without these the row is nobody's: the node has another one by now, or soon.
        while ["id", "renewals"].contains(&&*column) {
            let left = format!(
                "delete from node where {column} is null
                     and exists (select from node where {column} is not null)"
            );
            if world.editor.run(&left).await.unwrap() > 0 {
                break;
            }
            assert!(begun.elapsed() < PATIENCE, "{column}");
            sleep(Duration::from_millis(20)).await;
        }
    }
    revoke_and_look(&world, &neighbours, "after all of these").await;
    world.end();
}

/// What somebody writes into the feed by hand: it concerns anything, and the feed goes on.
#[tokio::test(flavor = "multi_thread")]
async fn whatever_stands_in_the_feed_the_next_change_is_heard_of() {
    for kind in Kind::BOTH {
        let mut world = World::new(kind, async |_| {}).await;
        let neighbours = Neighbours::of(&world).await;
        let mut tried = 0;
        for (column, of_type) in world.editor.columns("change").await {
            // The place in the feed: one that is written by hand is another feed.
            if column == "id" {
                continue;
            }
            for (value, literal) in values::of(kind, &of_type) {
                let what = format!("change.{column} = {value}, {kind:?}");
                let others = [("kind", "'client'"), ("changed_at", "0")];
                let others = others.iter().filter(|(other, _)| {
                    *other != column && (kind == Kind::Sqlite || *other != "changed_at")
                });
                let (names, rest): (Vec<_>, Vec<_>) = others.copied().unzip();
                let names = [&[column.as_str()], &names[..]].concat().join(", ");
                let rest = [&[literal], &rest[..]].concat().join(", ");
                let insert = format!("insert into change ({names}) values ({rest})");
                if world.editor.run(&insert).await.is_ok() {
                    tried += 1;
                    revoke_and_look(&world, &neighbours, &what).await;
                }
            }
        }
        assert!(tried > 10, "{kind:?}: {tried} tried");
        world.end();
    }
}
