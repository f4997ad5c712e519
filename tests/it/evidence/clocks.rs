//! A clock that was wrong and is set right: the uses of before have wrong times.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use jeton::domain::{Clock, Recorder, SystemClock, Timestamp, Verdict};

use super::{
    OFTEN,
    gaps::{rotated, verdict},
    until, writing,
};
use crate::support::{Database, Kind, TestNode, TestNodeOptions};

/// The system's clock, or one that is ahead of it by so many seconds.
struct Wrong(AtomicI64);

impl Wrong {
    fn by(seconds: i64) -> Arc<Self> {
        Arc::new(Self(AtomicI64::new(seconds)))
    }

    /// Sets it right.
    fn set_right(&self) {
        self.0.store(0, Ordering::SeqCst);
    }
}

impl Clock for Wrong {
    fn now(&self) -> Timestamp {
        let ahead = self.0.load(Ordering::SeqCst) * 1_000_000;
        Timestamp::from_unix_micros(SystemClock.now().unix_micros() + ahead)
    }

    fn uptime(&self) -> Duration {
        SystemClock.uptime()
    }

    /// As on SQLite, and as on Postgres if the clock of the database is as wrong.
    fn can_be_corrected(&self) -> bool {
        false
    }
}

const HOURS: i64 = 30 * 3_600;

/// Moments until which nodes have written.
async fn flushed(node: &TestNode) -> Vec<Timestamp> {
    let recorders = node.store.evidence(SystemClock.now()).await.unwrap().recorders;
    let moment = |recorder: Recorder| match recorder {
        Recorder::Counting { flushed_at, .. } => flushed_at,
        Recorder::Mute { since } => since,
    };
    recorders.into_iter().map(moment).collect()
}

async fn node(database: &Database, clock: &Arc<Wrong>) -> TestNode {
    let clock: Arc<dyn Clock> = Arc::<Wrong>::clone(clock);
    let options = TestNodeOptions { clock, ..writing(OFTEN) };
    TestNode::on(database.shared(), options).await
}

/// The last use was a moment ago, and its time is more than a day ago.
#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_was_behind_and_is_set_right_makes_no_secret_safe() {
    for kind in Kind::BOTH {
        let database = Database::new(kind).await;
        let old = rotated(&database).await;
        let clock = Wrong::by(-HOURS);
        let node = node(&database, &clock).await;
        node.issue(&old).await.unwrap();
        let known = until(&node.store, &old, |known| known.uses == 2).await;
        let day_ago = SystemClock.now().minus(Duration::from_hours(24));
        assert!(known.last_used_at().unwrap() < day_ago, "{kind:?}: otherwise it is in use");

        let corrected = SystemClock.now();
        clock.set_right();
        while flushed(&node).await.iter().any(|moment| *moment < corrected) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let verdict = verdict(&node.registry, &old, Duration::from_secs(20)).await;
        assert_eq!(verdict, Verdict::EvidenceGap, "{kind:?}");
    }
}

/// What is written later counts, and not what was written in the future.
#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_was_ahead_and_is_set_right_vouches_for_nothing_to_come() {
    for kind in Kind::BOTH {
        let database = Database::new(kind).await;
        let clock = Wrong::by(HOURS);
        let node = node(&database, &clock).await;
        let client = node.client("orders").await;
        node.issue(&client).await.unwrap();
        until(&node.store, &client, |known| known.uses == 1).await;
        clock.set_right();
        while database.number("select count(*) from evidence_gap").await == 1 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let (written, now) = (flushed(&node).await, SystemClock.now());
        assert!(written.iter().all(|moment| *moment <= now), "{kind:?}: {written:?}");
    }
}
