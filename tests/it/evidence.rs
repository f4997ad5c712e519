//! Evidence of the use of secrets: what is counted, and that what is not known never reads as
//! "unused".

mod clocks;
mod commands;
mod endings;
mod gaps;
mod limit;
mod pages;
mod retirement;

use std::{collections::HashMap, net::IpAddr, sync::Arc, time::Duration};

use jeton::{
    domain::{Clock, OsRandom, SecretId, SecretUse, SystemClock, uuid_v4},
    registry::NewSecret,
    store::{Retirement, Store},
};
use tonic::Code;

use crate::support::{Database, Kind, TestNode, TestNodeOptions, node::Credentials};

/// Nodes of most tests here write soon.
/// A node is overdue after three intervals, which must be longer than a busy machine stops it.
const OFTEN: Duration = Duration::from_millis(200);

/// Nodes that write only when they stop.
const NEVER: Duration = Duration::from_hours(1);

fn writing(secret_use_interval: Duration) -> TestNodeOptions {
    TestNodeOptions { secret_use_interval, ..TestNodeOptions::default() }
}

/// The uses of the secrets of a client.
async fn uses(store: &Arc<dyn Store>, client: &Credentials) -> HashMap<SecretId, SecretUse> {
    let found = store.secret_uses(&client.client.client_id).await.unwrap();
    found.into_iter().map(|(id, uses)| (id, uses.unwrap())).collect()
}

/// Waits until what was written of a secret is like this.
async fn until(
    store: &Arc<dyn Store>,
    client: &Credentials,
    holds: impl Fn(&SecretUse) -> bool,
) -> SecretUse {
    loop {
        let known = uses(store, client).await.remove(&client.secret.id());
        if let Some(known) = known.filter(&holds) {
            return known;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// One more secret of the same client.
async fn more(node: &TestNode, client: &Credentials) -> Credentials {
    let added = node.registry.add_secret(&client.client.client_id, NewSecret::default()).await;
    Credentials { client: client.client.clone(), secret: added.unwrap().1 }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_authentication_is_a_use_and_every_refusal_of_an_ended_secret_is_counted() {
    for kind in Kind::BOTH {
        let node = TestNode::start_with(kind, writing(OFTEN)).await;
        let here: IpAddr = "127.0.0.1".parse().unwrap();
        let (began, client) = (SystemClock.now(), node.client("orders").await);
        let server = node.resource_server("stock").await;
        let token = node.issue(&client).await.unwrap().access_token;
        node.introspect(&server, &token).await.unwrap();
        node.revoke(&client, &token).await.unwrap();
        let known = until(&node.store, &client, |known| known.uses == 2).await;
        assert_eq!((known.last_source, known.refused), (Some(here), 0), "{kind:?}");
        let used = known.used.unwrap();
        assert!(began <= used.first && used.first <= used.last && used.last <= SystemClock.now());
        assert_eq!((known.sources.len(), known.sources[0].source), (1, here));
        assert_eq!(known.sources[0].uses, 2);
        let known = until(&node.store, &server, |known| known.uses == 1).await;
        assert_eq!(known.last_source, Some(here), "{kind:?}");

        // Retired, expired and leaked alike, and a secret that was never used too.
        let id = &client.client.client_id;
        let (expired, leaked) = (more(&node, &client).await, more(&node, &client).await);
        let retire = |one: &Credentials, how| node.registry.retire_secret(id, one.secret.id(), how);
        retire(&client, Retirement::Retired).await.unwrap();
        retire(&leaked, Retirement::Leaked).await.unwrap();
        let end = format!(
            "update client_secret set expires_at = created_at where id = {}",
            literal(kind, expired.secret.id())
        );
        node.database.execute(&end).await;
        for ended in [&client, &expired, &leaked] {
            let refused = node.issue(ended).await.unwrap_err();
            assert_eq!(refused.code(), Code::Unauthenticated, "{kind:?}");
            let known = until(&node.store, ended, |known| known.refused == 1).await;
            assert_eq!(known.last_refused_source, Some(here));
            assert!(known.last_refused_at.unwrap() >= began);
        }
        assert_eq!(uses(&node.store, &client).await[&client.secret.id()].uses, 2);
    }
}

/// An id as a statement writes it.
fn literal(kind: Kind, SecretId(id): SecretId) -> String {
    match kind {
        Kind::Postgres => format!("'{id}'"),
        Kind::Sqlite => format!("x'{}'", id.simple()),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_stops_writes_what_it_has_counted_and_leaves_no_gap() {
    for kind in Kind::BOTH {
        let database = Database::new(kind).await;
        let node = TestNode::on(database.shared(), writing(NEVER)).await;
        let client = node.client("orders").await;
        for _ in 0..3 {
            node.issue(&client).await.unwrap();
        }
        assert!(uses(&node.store, &client).await.is_empty(), "{kind:?}");
        assert_eq!(database.number("select count(*) from evidence").await, 1);
        assert!(node.node.drain().await);

        let store = database.store();
        assert_eq!(uses(&store, &client).await[&client.secret.id()].uses, 3, "{kind:?}");
        assert_eq!(database.number("select count(*) from evidence").await, 0);
        assert_eq!(database.number("select count(*) from evidence_gap").await, 1);
    }
}

/// The writing may wait for as long as it likes: requests are answered, and nothing is lost.
#[tokio::test(flavor = "multi_thread")]
async fn requests_do_not_wait_for_uses_to_be_written() {
    for kind in Kind::BOTH {
        let node = TestNode::start_with(kind, writing(OFTEN)).await;
        let client = node.client("orders").await;
        let token = node.issue(&client).await.unwrap().access_token;
        assert!(node.introspect(&client, &token).await.unwrap().active);
        until(&node.store, &client, |known| known.uses == 2).await;
        let held = node.database.lock_uses().await;
        for _ in 0..20 {
            let asked = node.introspect(&client, &token);
            let answer = tokio::time::timeout(Duration::from_secs(1), asked).await;
            assert!(answer.expect("it waits").unwrap().active, "{kind:?}");
            tokio::time::sleep(OFTEN).await;
        }
        drop(held);
        until(&node.store, &client, |known| known.uses == 22).await;
    }
}

/// Both write all of them at the same time, again and again, from different ends.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_nodes_that_write_the_same_ten_thousand_secrets_wait_for_each_other_in_no_circle() {
    const SECRETS: usize = 10_000;
    for kind in Kind::BOTH {
        let database = Database::ready(kind).await;
        let node = TestNode::on(database.shared(), writing(NEVER)).await;
        node.client("orders").await;
        let mut ids: Vec<_> = (0..SECRETS).map(|_| uuid_v4(&OsRandom).unwrap()).collect();
        ids.sort_unstable();
        database.add_secrets(&ids).await;
        let counted = |source: u8| {
            let mut uses = SecretUse::default();
            uses.count(Some(IpAddr::from([10, 0, 0, source])), SystemClock.now());
            uses
        };
        let mut writers = tokio::task::JoinSet::new();
        for source in 0..2 {
            let store = database.store();
            store.check_schema().await.unwrap();
            let mut all: Vec<_> = ids.iter().map(|id| (SecretId(*id), counted(source))).collect();
            if source == 1 {
                all.reverse();
            }
            writers.spawn(async move {
                for _ in 0..3 {
                    for batch in all.chunks(2_000) {
                        store.record_uses(batch).await.unwrap();
                    }
                }
            });
        }
        while let Some(written) = writers.join_next().await {
            written.unwrap();
        }
        let total = database.number("select cast(sum(uses) as bigint) from secret_use").await;
        assert_eq!(total, 6 * 10_000, "{kind:?}");
        let sources = database.number("select count(*) from secret_source").await;
        assert_eq!(sources, 2 * 10_000);

        // What was deleted is forgotten by the next upkeep.
        database.change_secrets_quietly("delete from client_secret").await;
        // At most ten thousand rows of each table go in one round on Postgres.
        for _ in 0..2 {
            node.store.upkeep(SystemClock.now(), 90).await.unwrap();
        }
        for table in ["secret_use", "secret_source"] {
            let left = database.number(&format!("select count(*) from {table}")).await;
            assert_eq!(left, 0, "{kind:?}: {table}");
        }
    }
}
