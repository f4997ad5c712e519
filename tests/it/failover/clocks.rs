//! Clocks that are set while a node runs. Its time is that of the database: its own clock decides
//! nothing, and a database that tells another time than before is not believed.

use std::time::{Duration, Instant};

use tokio::time::sleep;

use super::node::{Caller, LEASE, Node, RECOVERY, Starting, assert_unavailable, until};
use crate::support::{
    binary::jeton,
    clock::Clock,
    postgres::{self, PrivateServer},
    proxy::Proxy,
};

/// Over a day, so that there is no partition for it: a machine that slept, or that was put back.
const THIRTY_ONE_HOURS: i64 = 31 * 3_600;

/// What a clock may be off before a node does not go on.
const TOLERATED: i64 = 5;

const NO_CLOCK: &str =
    "not run: it wants a Postgres of its own, and libfaketime (the package faketime) to set clocks";

/// A clock that can be set, if this machine can do that.
fn clock() -> Option<Clock> {
    Clock::new().filter(|_| postgres::is_installed())
}

/// The moment at which a token expires, in seconds from now by the clock of this test.
async fn expires_in(node: &Node, caller: &Caller, token: &str) -> i64 {
    let seen = node.introspect(caller, token).await.json();
    let now = std::time::UNIX_EPOCH.elapsed().unwrap().as_secs();
    seen["exp"].as_i64().unwrap() - i64::try_from(now).unwrap()
}

/// Case f10, in both directions: it is no outage, and moves no token's end.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_whose_clock_is_set_goes_on_by_the_time_of_the_database() {
    let Some(clock) = clock() else {
        println!("{NO_CLOCK}");
        return;
    };
    let server = PrivateServer::start(&[]);
    let node = Node::start_with(&server.url("postgres"), jeton().envs(clock.environment()), &[]);
    let caller = node.client("orders");
    let kept = node.token(&caller).await;
    for ahead in [THIRTY_ONE_HOURS, -THIRTY_ONE_HOURS, 0] {
        clock.set(ahead);
        let began = Instant::now();
        while began.elapsed() < 2 * LEASE {
            let token = node.token(&caller).await;
            let lives = expires_in(&node, &caller, &token).await;
            assert!((3_590..3_610).contains(&lives), "{ahead} s ahead: {lives} s to live");
            assert_eq!(node.is_active(&caller, &kept).await, Some(true), "{ahead} s ahead");
            assert_eq!(node.revoke(&caller, &token).await.status, 200, "{ahead} s ahead");
            assert_eq!(node.is_active(&caller, &token).await, Some(false), "{ahead} s ahead");
            assert_eq!(node.readyz().await, 200, "{ahead} s ahead");
            sleep(Duration::from_millis(20)).await;
        }
    }
}

/// The clock of the database is set: the node cannot tell which of both is right.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_the_clock_of_the_database_differs_nothing_is_answered_and_nothing_is_false() {
    let Some(clock) = clock() else {
        println!("{NO_CLOCK}");
        return;
    };
    let server = PrivateServer::start_in(&clock.environment(), &[]);
    let node = Node::start(&server.url("postgres"));
    let caller = node.client("orders");
    let token = node.token(&caller).await;
    for ahead in [THIRTY_ONE_HOURS, -THIRTY_ONE_HOURS, 2 * TOLERATED, -2 * TOLERATED] {
        clock.set(ahead);
        let began = Instant::now();
        // `/readyz` may still be late about the change before, so the answers count as well.
        let mut serves = true;
        while serves {
            assert!(began.elapsed() < 3 * LEASE, "serves with a clock {ahead} s ahead");
            let active = node.is_active(&caller, &token).await;
            assert_ne!(active, Some(false), "{ahead} s ahead");
            serves = active.is_some() || node.readyz().await == 200;
        }
        assert_unavailable(&node.introspect(&caller, &token).await);
        assert_unavailable(&node.issue(&caller).await);
        assert_unavailable(&node.revoke(&caller, &token).await);
        clock.set(0);
        node.until_it_serves(&caller).await;
        assert_eq!(node.is_active(&caller, &token).await, Some(true), "after {ahead} s ahead");
        // Nobody waits for leases that were taken by the wrong clock.
        until("a revocation is quick", RECOVERY, async || {
            let token = node.token(&caller).await;
            let began = Instant::now();
            assert_eq!(node.revoke(&caller, &token).await.status, 200);
            began.elapsed() < LEASE / 2
        })
        .await;
    }
}

/// A lease ends by the clock of the database, and it is relied upon by that of the node: if the one
/// is set ahead, the lease has ended for those who wait for it and not for the node.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revocation_waits_for_a_node_that_is_cut_off_although_the_clock_is_set() {
    let Some(clock) = clock() else {
        println!("{NO_CLOCK}");
        return;
    };
    let server = PrivateServer::start_in(&clock.environment(), &[]);
    let address = Proxy::before(&server.url("postgres")).await;
    let near = Node::start(&address.url);
    let far = Node::start(&server.url("postgres"));
    let caller = far.client("orders");
    for ahead in [TOLERATED - 2, 2 * TOLERATED, THIRTY_ONE_HOURS] {
        let token = near.token(&caller).await;
        // Asked for twice, it is remembered, once the node trusts its memory.
        until("it is remembered", RECOVERY, async || {
            let trusted = near.metric("jeton_lease_held").await == Some(1.0);
            trusted && near.is_active(&caller, &token).await == Some(true)
        })
        .await;
        assert_eq!(near.is_active(&caller, &token).await, Some(true));
        address.kill_silently();
        clock.set(ahead);
        let revoked = far.revoke(&caller, &token).await;
        let seen = near.is_active(&caller, &token).await;
        if revoked.status == 200 {
            assert_ne!(seen, Some(true), "{ahead} s ahead: active after its revocation");
        } else {
            assert_unavailable(&revoked);
        }
        clock.set(0);
        for node in [&near, &far] {
            node.until_it_serves(&caller).await;
        }
    }
}

/// Where it starts, a node has its own clock alone to compare with.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_starts_with_a_wrong_clock_is_not_ready_until_it_is_right() {
    let Some(clock) = clock() else {
        println!("{NO_CLOCK}");
        return;
    };
    let server = PrivateServer::start(&[]);
    for ahead in [TOLERATED + 1, -TOLERATED - 1, THIRTY_ONE_HOURS] {
        clock.set(ahead);
        let mut command = jeton();
        command.envs(clock.environment());
        let mut node = Starting::start(&server.url("postgres"), &mut command);
        let began = Instant::now();
        while began.elapsed() < 2 * LEASE {
            assert!(!node.is_ready().await, "ready, {ahead} s ahead");
            assert!(node.is_running(), "{ahead} s ahead: it ended");
            sleep(Duration::from_millis(20)).await;
        }
        clock.set(0);
        until("it is ready", RECOVERY, async || node.is_ready().await).await;
    }
}

/// What operators see of it: less than what is tolerated is told, and no outage.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_offset_of_a_clock_is_a_metric() {
    let Some(clock) = clock() else {
        println!("{NO_CLOCK}");
        return;
    };
    let server = PrivateServer::start(&[]);
    clock.set(2);
    let node = Node::start_with(&server.url("postgres"), jeton().envs(clock.environment()), &[]);
    let caller = node.client("orders");
    for seconds in [2, -3, 0] {
        clock.set(seconds);
        let expected = seconds.abs();
        until("the metric follows", RECOVERY, async || {
            let offset = node.metric("jeton_clock_offset_seconds").await.unwrap_or(f64::NAN);
            (offset.abs() - f64::from(i32::try_from(expected).unwrap())).abs() < 0.3
        })
        .await;
        assert_eq!(node.issue(&caller).await.status, 200);
        assert_eq!(node.readyz().await, 200);
    }
}
