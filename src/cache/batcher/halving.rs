//! Who is told what, when a shared statement fails.

use std::{collections::VecDeque, panic::AssertUnwindSafe, time::Instant};

use futures_util::FutureExt;
use tokio::time::timeout;

use super::{Caller, Inner};
use crate::domain::Error;

const SILENT: &str = "the database did not answer a shared statement";

/// So many statements that fail before the first that succeeds: it is not the fault of an item.
/// One culprit is found after two, and four that lie far apart after seven.
const HOPELESS: u32 = 8;

/// The most statements for the callers of one. One culprit among 512 takes nineteen.
const MOST: u32 = 100;

impl<T: Clone, R: Clone> Inner<T, R> {
    /// Runs a statement for these callers and tells each of them what came of it.
    ///
    /// A fault that waiting does not mend may be that of one item, and so may a panic. Then the
    /// callers are served in halves, and those halves that fail in halves again, until the fault is
    /// told to its own caller. That may repeat a statement: one that looks up changes nothing, and
    /// one that records and failed has recorded nothing, or else fails again for what is there.
    pub(super) async fn serve(&self, callers: Vec<Caller<T, R>>) {
        let began = Instant::now();
        let (mut ran, mut succeeded) = (0, 0);
        let mut parts = VecDeque::from([callers]);
        while let Some(mut part) = parts.pop_front() {
            let items = part.iter().map(|caller| caller.item.clone()).collect();
            let result = self.run_once(items, began).await;
            ran += 1;
            succeeded += u32::from(result.is_ok());
            let goes_on = ran < MOST && (succeeded > 0 || ran < HOPELESS);
            match result {
                Err(Error::Internal { .. }) if goes_on && part.len() > 1 => {
                    let rest = part.split_off(part.len() / 2);
                    parts.extend([part, rest]);
                }
                Err(error) if !goes_on => {
                    parts.push_front(part);
                    return tell(parts.into_iter().flatten(), &Err(error));
                }
                result => tell(part, &result),
            }
        }
    }

    /// What is left of the patience that began then is for this statement.
    async fn run_once(&self, items: Vec<T>, began: Instant) -> Result<R, Error> {
        let left = self.limits.patience.saturating_sub(began.elapsed());
        if left.is_zero() {
            return Err(Error::unavailable(SILENT));
        }
        self.statements.add_one();
        // Nothing of it is used again after its panic, so nothing half done is seen.
        let running = AssertUnwindSafe(async { (self.run)(items).await }).catch_unwind();
        match timeout(left, running).await {
            Ok(Ok(result)) => result,
            // The panic hook has written where it happened.
            Ok(Err(_payload)) => Err(Error::internal("a shared statement panicked")),
            Err(_) => Err(Error::unavailable(SILENT)),
        }
    }
}

fn tell<T, R: Clone>(callers: impl IntoIterator<Item = Caller<T, R>>, result: &Result<R, Error>) {
    for caller in callers {
        let result = match result {
            Ok(shared) => Ok(shared.clone()),
            Err(error) => Err(error.clone()),
        };
        // Who went away meanwhile is not told.
        let _ = caller.answer.send(result);
    }
}
