//! What is acknowledged is committed as it must be: it waits for a standby that is named, survives
//! a crash whatever the database is set to, and while commits do not end, nothing is read either.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use jeton::domain::TokenText;
use rustix::process::Signal;
use tokio::{
    task::JoinSet,
    time::{sleep, timeout},
};

use super::{
    NO_POSTGRES,
    node::{Caller, Face, LEASE, Node, RECOVERY, assert_unavailable, token_in, until},
};
use crate::support::{
    postgres::{self, PrivateServer},
    proxy::{Most, Proxy},
    replication::{Pair, Replication::Synchronous},
};

/// By default a node has ten connections, and one for the feed.
const CONNECTIONS: u64 = 11;

/// Calls of all kinds, one after the other, until it is told to stop. Whatever is amiss, each is
/// done or says when to come back.
async fn call(node: Face, caller: Caller, stop: Arc<AtomicBool>) {
    while !stop.load(Ordering::Relaxed) {
        let issued = node.issue(&caller).await;
        if issued.status != 200 {
            assert_unavailable(&issued);
            sleep(Duration::from_millis(20)).await;
            continue;
        }
        let token = token_in(&issued);
        node.is_active(&caller, &token).await;
        let revoked = node.revoke(&caller, &token).await;
        if revoked.status != 200 {
            assert_unavailable(&revoked);
        }
    }
}

/// A standby that is named and gone: commits hang, so the lease is not written either.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_commits_hang_nothing_is_read_and_connections_stay_below_their_limit() {
    if !postgres::is_installed() {
        println!("{NO_POSTGRES}");
        return;
    }
    let pair = Pair::start(Synchronous, &[]).await;
    let address = Proxy::before(&pair.primary().url("postgres")).await;
    let node = Node::start(&address.url);
    let caller = node.client("orders");
    let token = node.token(&caller).await;
    assert_eq!(node.is_active(&caller, &token).await, Some(true));
    let (most, stop) = (Most::of(&[&address]), Arc::<AtomicBool>::default());
    let mut callers = JoinSet::new();
    for _ in 0..8 {
        callers.spawn(call(*node, caller.clone(), Arc::clone(&stop)));
    }

    pair.stop_standby().await;
    let began = Instant::now();
    until("reads stop", LEASE + Duration::from_secs(1), async || {
        node.is_active(&caller, &token).await.is_none()
    })
    .await;
    node.until_not_ready((2 * LEASE + Duration::from_secs(1)).saturating_sub(began.elapsed()))
        .await;
    // For as long as anything could wait.
    while began.elapsed() < 6 * LEASE {
        assert_eq!(node.is_active(&caller, &token).await, None, "after {:?}", began.elapsed());
        sleep(Duration::from_millis(20)).await;
    }
    assert!(most.seen() <= CONNECTIONS, "{} connections", most.seen());

    pair.start_standby().await;
    node.until_it_serves(&caller).await;
    assert_eq!(node.is_active(&caller, &token).await, Some(true));
    stop.store(true, Ordering::Relaxed);
    while let Some(ended) = callers.join_next().await {
        ended.unwrap();
    }
    assert!(most.seen() <= CONNECTIONS, "{} connections", most.seen());
}

/// The log is written by a commit that waits for it, or much later.
const NO_LOG_BY_ITSELF: [&str; 4] =
    ["-c", "wal_writer_delay=10s", "-c", "wal_writer_flush_after=1GB"];

/// With `synchronous_commit = off` a commit is told before it is on any disk.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_acknowledged_survives_a_crash_whatever_the_database_is_set_to() {
    const ROUNDS: usize = 3;
    const TOKENS: usize = 8;
    if !postgres::is_installed() {
        println!("{NO_POSTGRES}");
        return;
    }
    for whose in ["database postgres", "role postgres"] {
        let server = PrivateServer::start(&NO_LOG_BY_ITSELF);
        let setting = format!("alter {whose} set synchronous_commit = off");
        server.execute(&[&setting]).await;
        let node = Node::start(&server.url("postgres"));
        let caller = node.client("orders");
        for round in 0..ROUNDS {
            let mut calls = JoinSet::new();
            for _ in 0..TOKENS {
                let (node, caller) = (*node, caller.clone());
                calls.spawn(async move {
                    let token = node.token(&caller).await;
                    let kept = node.token(&caller).await;
                    assert_eq!(node.revoke(&caller, &token).await.status, 200);
                    (token, kept)
                });
            }
            let tokens = calls.join_all().await;
            server.halt(Signal::KILL).await;
            server.resume().await;
            let id = |token: &str| TokenText::parse(token).unwrap().id().0;
            for (revoked, kept) in tokens {
                let question = format!(
                    "select exists (select from revoked_token where id = '{}')
                        and exists (select from access_token where id = '{}')",
                    id(&revoked),
                    id(&kept)
                );
                let answer = server.answer("postgres", &question).await.unwrap();
                assert!(answer, "round {round}, by {whose}: what was acknowledged is lost");
            }
            until("the node serves", RECOVERY, async || node.issue(&caller).await.status == 200)
                .await;
        }
    }
}

/// With `synchronous_commit = local`, as with `off`, a commit does not wait for the standby that is
/// named, and would be lost with the primary.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_acknowledged_is_on_the_standby_whatever_the_database_is_set_to() {
    if !postgres::is_installed() {
        println!("{NO_POSTGRES}");
        return;
    }
    let pair = Pair::start(Synchronous, &[]).await;
    for value in ["off", "local"] {
        let setting = format!("alter database postgres set synchronous_commit = {value}");
        pair.primary().execute(&[&setting]).await;
        let node = Node::start(&pair.primary().url("postgres"));
        let caller = node.client(&format!("orders-{value}"));
        let token = node.token(&caller).await;
        pair.stop_standby().await;
        assert_unavailable(&node.issue(&caller).await);
        assert_unavailable(&node.revoke(&caller, &token).await);
        pair.start_standby().await;
        node.until_it_serves(&caller).await;
    }
}

/// Whoever is not answered asks again. A commit that waited for a standby and was ended from outside
/// has taken effect here and not there: whoever then finds nothing left to do must not say that it
/// is done.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_asked_for_again_while_a_standby_goes_away_is_on_it_if_acknowledged() {
    const CALLERS: usize = 8;
    if !postgres::is_installed() {
        println!("{NO_POSTGRES}");
        return;
    }
    let mut pair = Pair::start(Synchronous, &[]).await;
    let node = Node::start(&pair.primary().url("postgres"));
    let caller = node.client("orders");
    let mut callers = JoinSet::new();
    let until = Instant::now() + 3 * LEASE;
    for number in 0..CALLERS {
        let (node, caller) = (*node, caller.clone());
        let token = node.token(&caller).await;
        callers.spawn(async move {
            sleep(LEASE / 2).await;
            while Instant::now() < until {
                let patience = Duration::from_millis(50 + 40 * number as u64);
                let revoked = timeout(patience, node.revoke(&caller, &token)).await;
                if revoked.is_ok_and(|answer| answer.status == 200) {
                    return Some(token);
                }
            }
            None
        });
    }
    sleep(LEASE / 2).await;
    pair.stop_standby().await;
    let acknowledged = callers.join_all().await;
    pair.primary().halt(Signal::KILL).await;
    pair.standby().resume().await;
    pair.fail_over().await;
    for token in acknowledged.into_iter().flatten() {
        let id = TokenText::parse(&token).unwrap().id().0;
        let question = format!("select exists (select from revoked_token where id = '{id}')");
        let is_there = pair.primary().answer("postgres", &question).await.unwrap();
        assert!(is_there, "a revocation that was acknowledged is not on the standby");
    }
}
