//! A node answers only from the primary whose feed it follows: not from one that was it, not from
//! a standby, not by a session that can only read.

use std::time::{Duration, Instant};

use tokio::time::sleep;

use super::{
    NO_POSTGRES,
    node::{Caller, LEASE, Node, RECOVERY, assert_unavailable, until},
};
use crate::support::{
    binary::jeton,
    postgres::{self, PrivateServer},
    proxy::{Most, Proxy},
    replication::{Pair, Replication::Asynchronous},
};

/// Nodes that have a lease on a database.
const SOMEBODY_FOLLOWS: &str =
    "select exists (select from node where lease_until > clock_timestamp())";

/// How long an address that was changed still leads to where it led before.
const STALE: Duration = Duration::from_secs(2);

/// Asks again and again for a time whether a token is active. Returns how many answers said that it
/// is, and how many that it is not.
async fn told_for(time: Duration, node: &Node, caller: &Caller, token: &str) -> (usize, usize) {
    let (mut active, mut inactive) = (0, 0);
    let began = Instant::now();
    while began.elapsed() < time {
        match node.is_active(caller, token).await {
            Some(true) => active += 1,
            Some(false) => inactive += 1,
            None => {}
        }
        sleep(Duration::from_millis(10)).await;
    }
    (active, inactive)
}

/// Case f01: the feed found the new primary, and the pools stayed on the old one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_revoked_at_the_new_primary_is_not_active_by_way_of_the_old_one() {
    if !postgres::is_installed() {
        println!("{NO_POSTGRES}");
        return;
    }
    let mut pair = Pair::start(Asynchronous, &[]).await;
    let address = Proxy::before(&pair.primary().url("postgres")).await;
    let near = Node::start(&address.url);
    let caller = near.client("orders");
    let token = near.token(&caller).await;
    assert_eq!(near.is_active(&caller, &token).await, Some(true));

    pair.switch_over().await;
    pair.rejoin().await;
    // The old primary is there again, as a standby, and the address leads to it for a while.
    let (_, inactive) = told_for(STALE, &near, &caller, &token).await;
    assert_eq!(inactive, 0, "nothing ended the token yet");
    address.lead_to(&pair.primary().url("postgres"));
    pair.primary().until(SOMEBODY_FOLLOWS).await;

    let far = Node::start(&pair.primary().url("postgres"));
    pair.pause_replay().await;
    // From here on no answer that begins later may be from before the revocation.
    assert_eq!(far.revoke(&caller, &token).await.status, 200);
    let (active, _) = told_for(Duration::from_millis(500), &near, &caller, &token).await;
    assert_eq!(active, 0, "active after its revocation was acknowledged");
    pair.resume_replay().await;
    let (active, _) = told_for(LEASE, &near, &caller, &token).await;
    assert_eq!(active, 0, "active after the standby has caught up");
    near.until_it_serves(&caller).await;
    assert_eq!(near.is_active(&caller, &token).await, Some(false));
}

/// An address that goes on leading to a standby that lags: the node says that it has no database.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_reaches_a_standby_alone_is_not_ready_and_answers_nothing() {
    if !postgres::is_installed() {
        println!("{NO_POSTGRES}");
        return;
    }
    let pair = Pair::start(Asynchronous, &[]).await;
    let address = Proxy::before(&pair.primary().url("postgres")).await;
    let most = Most::of(&[&address]);
    let near = Node::start(&address.url);
    let caller = near.client("orders");
    let token = near.token(&caller).await;
    let far = Node::start(&pair.primary().url("postgres"));
    pair.primary().until("select count(*) = 2 from node").await;
    assert_eq!(near.is_active(&caller, &token).await, Some(true));

    pair.pause_replay().await;
    address.lead_to(&pair.standby().url("postgres"));
    address.cut();
    assert_eq!(far.revoke(&caller, &token).await.status, 200);
    let (active, _) = told_for(2 * LEASE, &near, &caller, &token).await;
    assert_eq!(active, 0, "active after its revocation was acknowledged");
    near.until_not_ready(LEASE).await;
    assert_unavailable(&near.introspect(&caller, &token).await);
    assert_unavailable(&near.issue(&caller).await);
    assert_unavailable(&near.revoke(&caller, &token).await);

    address.lead_to(&pair.primary().url("postgres"));
    near.until_it_serves(&caller).await;
    assert_eq!(near.is_active(&caller, &token).await, Some(false));
    assert!(most.seen() <= 11, "{} connections of 10 and the feed", most.seen());
}

/// Case f02: a new session can write, and those of the pool cannot.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sessions_that_have_become_read_only_are_replaced() {
    if !postgres::is_installed() {
        println!("{NO_POSTGRES}");
        return;
    }
    let server = PrivateServer::start(&[]);
    let node = Node::start(&server.url("postgres"));
    let caller = node.client("orders");
    let token = node.token(&caller).await;
    let new_can_write_and_old_cannot = [
        "alter role postgres in database postgres set default_transaction_read_only = off",
        "alter system set default_transaction_read_only = on",
        "select pg_reload_conf()",
    ];
    server.execute(&new_can_write_and_old_cannot).await;
    until("the node issues", RECOVERY, async || {
        let issued = node.issue(&caller).await;
        if issued.status != 200 {
            assert_unavailable(&issued);
        }
        issued.status == 200
    })
    .await;
    node.until_it_serves(&caller).await;
    assert_eq!(node.is_active(&caller, &token).await, Some(true));
}

/// Sessions old and new can only read: that is no database, until it is one again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_can_only_be_read_is_no_database() {
    if !postgres::is_installed() {
        println!("{NO_POSTGRES}");
        return;
    }
    // A session that asks for it may write all the same, unless the server recovers: so a standby
    // that is promoted later, which no session of the node outlives or notices by itself.
    let mut pair = Pair::start(Asynchronous, &[]).await;
    let address = Proxy::before(&pair.primary().url("postgres")).await;
    let node = Node::start(&address.url);
    let caller = node.client("orders");
    let token = node.token(&caller).await;
    address.lead_to(&pair.standby().url("postgres"));
    address.cut();
    node.until_not_ready(2 * LEASE + Duration::from_secs(1)).await;
    assert_unavailable(&node.introspect(&caller, &token).await);
    pair.switch_over().await;
    node.until_it_serves(&caller).await;
    assert_eq!(node.is_active(&caller, &token).await, Some(true));
}

/// Hosts and what is wanted of them, as libpq has it: the primary is found, wherever it is.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_several_hosts_the_primary_is_found() {
    if !postgres::is_installed() {
        println!("{NO_POSTGRES}");
        return;
    }
    let mut pair = Pair::start(Asynchronous, &[]).await;
    let standby = Proxy::before(&pair.standby().url("postgres")).await;
    let primary = Proxy::before(&pair.primary().url("postgres")).await;
    let hosts = [&standby, &primary].map(|proxy| {
        let (_, rest) = proxy.url.split_once('@').unwrap();
        rest.split('/').next().unwrap().to_owned()
    });
    let url = format!(
        "postgres://postgres@{}/postgres?sslmode=disable&target_session_attrs=read-write",
        hosts.join(",")
    );
    let node = Node::start_with(&url, &mut jeton(), &[]);
    let caller = node.client("orders");
    let token = node.token(&caller).await;
    assert_eq!(node.is_active(&caller, &token).await, Some(true));
    for _ in 0..2 {
        pair.switch_over().await;
        node.until_it_serves(&caller).await;
        pair.rejoin().await;
        assert_eq!(node.is_active(&caller, &token).await, Some(true));
    }
}
