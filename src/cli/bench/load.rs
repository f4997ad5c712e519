//! Closed-loop load: a fixed number of callers with one call in flight each.
//!
//! While a server stalls, it receives fewer calls, so the latencies omit the wait that independent
//! callers would see (coordinated omission). The figures compare servers at the same number of
//! callers and do not describe an open load.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use hdrhistogram::Histogram;
use tokio::task::JoinSet;

use super::{caller::Caller, work::Call};

/// Highest latency that is recorded, in nanoseconds: one minute. Latencies have three digits.
const LONGEST: u64 = 60_000_000_000;

/// Returns the next call to make; `None` when no calls are left.
pub(super) type Next = dyn Fn() -> Option<Call> + Send + Sync;

/// Result of a run.
pub(super) struct Outcome {
    pub(super) latencies: Histogram<u64>,
    /// Number of answers by gRPC code or HTTP status; a success is `OK`.
    pub(super) answers: BTreeMap<String, u64>,
    pub(super) took: Duration,
}

/// Counters that can be read during a run.
#[derive(Default)]
pub(super) struct Progress {
    pub(super) answered: AtomicU64,
    pub(super) failed: AtomicU64,
}

/// Makes calls until the time `most` has passed or no calls are left.
pub(super) async fn run(
    callers: &[Caller],
    most: Duration,
    next: Arc<Next>,
    progress: &Arc<Progress>,
) -> anyhow::Result<Outcome> {
    let is_over = Arc::new(AtomicBool::new(false));
    let began = Instant::now();
    let shared = Arc::new(Mutex::new((histogram()?, BTreeMap::new())));
    let mut asking = JoinSet::new();
    for caller in callers {
        let (mut caller, next) = (caller.clone(), Arc::clone(&next));
        let (is_over, shared) = (Arc::clone(&is_over), Arc::clone(&shared));
        let progress = Arc::clone(progress);
        let mut latencies = histogram()?;
        asking.spawn(async move {
            let mut answers = BTreeMap::<String, u64>::new();
            while !is_over.load(Ordering::Relaxed) {
                let Some(call) = next() else { break };
                let began = Instant::now();
                let answer = caller.ask(call).await;
                let took = u64::try_from(began.elapsed().as_nanos()).unwrap_or(LONGEST);
                latencies.saturating_record(took.clamp(1, LONGEST));
                progress.answered.fetch_add(1, Ordering::Relaxed);
                progress.failed.fetch_add(u64::from(answer != "OK"), Ordering::Relaxed);
                *answers.entry(answer).or_default() += 1;
            }
            let mut shared = shared.lock().unwrap_or_else(PoisonError::into_inner);
            // This cannot fail, because both histograms have the same bounds.
            let _ = shared.0.add(&latencies);
            for (answer, count) in answers {
                *shared.1.entry(answer).or_default() += count;
            }
        });
    }
    let over = async {
        tokio::time::sleep(most).await;
        is_over.store(true, Ordering::Relaxed);
        std::future::pending::<()>().await;
    };
    tokio::select! {
        () = async { while asking.join_next().await.is_some() {} } => {}
        () = over => {}
    }
    let took = began.elapsed();
    let mut shared = shared.lock().unwrap_or_else(PoisonError::into_inner);
    let (latencies, answers) = std::mem::replace(&mut *shared, (histogram()?, BTreeMap::new()));
    Ok(Outcome { latencies, answers, took })
}

fn histogram() -> anyhow::Result<Histogram<u64>> {
    Ok(Histogram::new_with_bounds(1, LONGEST, 3)?)
}
