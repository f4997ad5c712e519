//! The connections to Postgres: they die, and the node goes on without a restart.

use std::{sync::Arc, time::Duration};

use jeton::store::{PostgresOptions, PostgresStore};
use tokio::{task::JoinSet, time::timeout};
use tonic::{Code, Request};

use crate::support::{
    Database, Kind, TestNode, TestNodeOptions,
    node::{Credentials, issue_request},
    proxy::Proxy,
};

/// Longer than callers wait, as it is by default.
const WAIT: Duration = Duration::from_secs(1);

async fn node_behind(proxy: &Proxy, database: Database) -> TestNode {
    let store = PostgresStore::at(&proxy.url, 4, PostgresOptions::waiting(WAIT)).unwrap();
    TestNode::with_store(database, Arc::new(store), TestNodeOptions::default()).await
}

/// Callers that give up sooner than the pool does, some of them while a connection dies.
async fn impatient_round(node: &TestNode, caller: &Credentials, proxy: &Proxy) {
    let mut calls = JoinSet::new();
    for number in 0..40 {
        let mut client = node.grpc.clone();
        let mut request = Request::new(issue_request(caller));
        request.set_timeout(Duration::from_millis(150 + number * 4));
        calls.spawn(async move { client.issue_token(request).await.map(drop) });
        if number % 10 == 5 {
            tokio::time::sleep(Duration::from_millis(5)).await;
            proxy.kill_silently();
        }
    }
    while let Some(ended) = calls.join_next().await {
        let outcome = ended.unwrap();
        let code = outcome.err().map(|status| status.code());
        let honest = [Code::Unavailable, Code::DeadlineExceeded, Code::Cancelled];
        assert!(code.is_none_or(|code| honest.contains(&code)), "{code:?}");
    }
}

async fn until_it_serves(node: &TestNode, caller: &Credentials) {
    timeout(Duration::from_secs(30), async {
        while node.issue(caller).await.is_err() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
    .await
    .expect("the node serves again without a restart");
}

/// F1: sqlx loses the places of connections that died silently.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_that_die_silently_are_replaced() {
    let database = Database::new(Kind::Postgres).await;
    let proxy = Proxy::before(&database.url).await;
    let node = node_behind(&proxy, database).await;
    let caller = node.client("orders").await;
    let kept = node.issue(&caller).await.unwrap().access_token;
    for _ in 0..4 {
        impatient_round(&node, &caller, &proxy).await;
    }
    until_it_serves(&node, &caller).await;
    assert!(node.introspect(&caller, &kept).await.unwrap().active);
}

/// M-05: while the database is away the answer says so; it comes back, and so does the node.
#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_was_away_is_found_again() {
    let database = Database::new(Kind::Postgres).await;
    let proxy = Proxy::before(&database.url).await;
    let node = node_behind(&proxy, database).await;
    let caller = node.client("orders").await;
    let token = node.issue(&caller).await.unwrap().access_token;
    proxy.refuse(true);
    for _ in 0..3 {
        let status = node.introspect(&caller, &token).await.unwrap_err();
        assert_eq!(status.code(), Code::Unavailable);
        let status = node.issue(&caller).await.unwrap_err();
        assert_eq!(status.code(), Code::Unavailable);
        let status = node.revoke(&caller, &token).await.unwrap_err();
        assert_eq!(status.code(), Code::Unavailable);
    }
    proxy.refuse(false);
    until_it_serves(&node, &caller).await;
    assert!(node.introspect(&caller, &token).await.unwrap().active);
}

/// F2, M-06: callers that give up at any moment leave no transaction and no place behind.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cancelled_calls_leave_nothing_behind() {
    let database = Database::new(Kind::Postgres).await;
    let url = database.url.clone();
    let node = TestNode::on(database, TestNodeOptions::default()).await;
    let caller = node.client("orders").await;
    for round in 0..200_u64 {
        let mut request = Request::new(issue_request(&caller));
        request.set_timeout(Duration::from_micros(100 + round * 37));
        let _ = node.grpc.clone().issue_token(request).await;
    }
    let mut admin = <sqlx::PgConnection as sqlx::Connection>::connect(&url).await.unwrap();
    let within: i64 = sqlx::query_scalar(
        "select count(*) from pg_stat_activity
         where datname = current_database() and state like 'idle in transaction%'",
    )
    .fetch_one(&mut admin)
    .await
    .unwrap();
    assert_eq!(within, 0, "transactions left open");
    until_it_serves(&node, &caller).await;
}
