//! Which callers share a statement, and which of them get its error.

use super::*;
use futures_util::future::join_all;
use std::{
    ops::Range,
    sync::atomic::{AtomicUsize, Ordering},
};
use tokio::sync::Semaphore;

const LIMITS: BatchLimits =
    BatchLimits { waiting: 100, largest: 50, statements: 2, overlap: 20, patience: Duration::MAX };

type Carried = Arc<Mutex<Vec<Vec<u32>>>>;

/// A batcher whose statements each wait for a permit, and the items that each statement had.
fn group() -> (Arc<Batcher<u32, u32>>, Arc<Semaphore>, Carried) {
    let (gate, carried) = (Arc::new(Semaphore::new(0)), Arc::<Mutex<Vec<_>>>::default());
    let (held, noted) = (Arc::clone(&gate), Arc::clone(&carried));
    let group = Batcher::new(LIMITS, move |items: Vec<u32>| {
        noted.lock().unwrap().push(items.clone());
        let held = Arc::clone(&held);
        async move {
            held.acquire().await.map_err(Error::internal)?.forget();
            if items.contains(&13) {
                return Err(Error::unavailable("13"));
            }
            items.len().try_into().map_err(Error::internal)
        }
    });
    (Arc::new(group), gate, carried)
}

async fn joined(group: &Arc<Batcher<u32, u32>>, items: impl Iterator<Item = u32>) {
    for item in items {
        let group = Arc::clone(group);
        tokio::spawn(async move { group.submit(item).await });
    }
    for _ in 0..1_000 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn what_waits_during_a_statement_goes_into_the_next() {
    let (group, gate, carried) = group();
    joined(&group, 0..1).await;
    joined(&group, 1..11).await;
    assert_eq!(carried.lock().unwrap().len(), 1, "ten callers are too few to overlap");
    gate.add_permits(2);
    assert_eq!(group.submit(11).await.unwrap(), 1 + 10);
    let BatchStats { statements, callers } = group.stats();
    assert_eq!((statements, callers), (2, 12));
}

#[tokio::test]
async fn many_callers_get_a_second_statement_and_no_third() {
    let (group, _gate, carried) = group();
    joined(&group, 0..1).await;
    joined(&group, 1..99).await;
    let carried = carried.lock().unwrap();
    assert_eq!(carried.len(), 2);
    assert!(carried[1].len() <= 50, "{}", carried[1].len());
}

#[tokio::test]
async fn a_failure_is_everybodys_and_too_many_are_turned_away() {
    let (group, gate, _) = group();
    joined(&group, 13..14).await;
    joined(&group, 100..300).await;
    joined(&group, 300..500).await;
    assert!(matches!(group.submit(1).await, Err(Error::TooManyRequests { .. })));
    gate.add_permits(100);
    joined(&group, 0..0).await;
    assert!(matches!(group.submit(13).await, Err(Error::Unavailable { .. })));
    assert!(group.submit(1).await.is_ok(), "the next batch succeeds");
}

#[tokio::test]
async fn who_goes_away_is_not_carried_and_a_panic_is_not_the_end() {
    let ran = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&ran);
    let group = Arc::new(Batcher::new(LIMITS, move |items: Vec<u32>| {
        assert!(!items.contains(&13), "on purpose");
        count.fetch_add(items.len(), Ordering::Relaxed);
        async move { Ok(0) }
    }));
    tokio::select! {
        biased;
        _ = group.submit(1) => unreachable!("its statement has not begun"),
        () = async {} => {}
    }
    assert!(matches!(group.submit(13).await, Err(Error::Internal { .. })));
    assert!(group.submit(2).await.is_ok());
    assert_eq!(ran.load(Ordering::Relaxed), 1);
}

/// Submits the items `0..callers` as one batch, whose statement fails with `fault` if it contains
/// one of `culprits`. Returns the items whose callers got an error.
async fn poisoned(
    callers: u32,
    culprits: Range<u32>,
    fault: impl Fn() -> Error + Copy + Send + Sync + 'static,
) -> (Vec<u32>, BatchStats) {
    let limits = BatchLimits { waiting: 1_000, largest: 1_000, overlap: 1_000, ..LIMITS };
    let group = Arc::new(Batcher::new(limits, move |items: Vec<u32>| {
        let fails = items.iter().any(|item| culprits.contains(item));
        async move { if fails { Err(fault()) } else { Ok(items) } }
    }));
    // Callers that submit before the statement begins are in its batch.
    let joined = join_all((0..callers).map(|item| group.submit(item))).await;
    let mut failed = Vec::new();
    for (item, joined) in (0..).zip(joined) {
        match joined {
            Ok(together) => assert!(together.contains(&item), "{item} in {together:?}"),
            Err(_) => failed.push(item),
        }
    }
    (failed, group.stats())
}

#[tokio::test]
async fn a_statement_that_fails_for_one_fails_that_one_alone() {
    let fault = || Error::internal("13");
    let (failed, stats) = poisoned(512, 13..14, fault).await;
    assert_eq!(failed, [13]);
    assert_eq!((stats.statements, stats.callers), (19, 512), "found by halving");
    let (failed, _) = poisoned(512, 13..17, fault).await;
    assert_eq!(failed, [13, 14, 15, 16]);
}

#[tokio::test]
async fn a_panic_over_one_is_that_ones_alone() {
    let (failed, _) = poisoned(512, 13..14, || panic!("on purpose")).await;
    assert_eq!(failed, [13]);
}

#[tokio::test]
async fn looking_for_culprits_has_an_end() {
    let fault = || Error::internal("no such table");
    let (failed, stats) = poisoned(512, 0..512, fault).await;
    assert_eq!((failed.len(), stats.statements), (512, 8), "no single item is to blame");
    let (failed, stats) = poisoned(512, 256..512, fault).await;
    assert_eq!((failed.len(), stats.statements), (256, 100), "the good items succeeded");
    // An error that may pass with time is not retried immediately.
    let (failed, stats) = poisoned(512, 13..14, || Error::unavailable("away")).await;
    assert_eq!((failed.len(), stats.statements), (512, 1));
}

#[tokio::test]
async fn looking_for_culprits_ends_with_the_patience() {
    let limits = BatchLimits { patience: Duration::from_millis(50), ..LIMITS };
    let group = Batcher::new(limits, |items: Vec<u32>| async move {
        if items.len() < 50 {
            std::future::pending::<()>().await;
        }
        Err::<(), _>(Error::internal("13"))
    });
    let all = join_all((0..50).map(|item| group.submit(item))).await;
    assert!(all.iter().all(|one| matches!(one, Err(Error::Unavailable { .. }))), "{all:?}");
    assert_eq!(group.stats().statements, 2);
}
