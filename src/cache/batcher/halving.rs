//! Runs the statement of a batch and, if it fails, isolates the items that made it fail.

use std::{collections::VecDeque, panic::AssertUnwindSafe, time::Instant};

use futures_util::FutureExt;
use tokio::time::timeout;

use super::{Caller, Inner};
use crate::domain::Error;

const SILENT: &str = "the database did not answer a batch in time";

/// Maximum failures before the first success. After them the statement itself is taken to be at
/// fault, and all callers get the error. With one bad item the first success comes after two
/// failures; with four that are far apart, after seven.
const HOPELESS: u32 = 8;

/// Maximum statements for one batch. One bad item among 512 takes nineteen.
const MOST: u32 = 100;

impl<T: Clone, R: Clone> Inner<T, R> {
    /// Runs a statement for these callers and sends each of them its result.
    ///
    /// An `Internal` error or a panic may be caused by one item. The callers are then served in
    /// halves, and failing halves are split again, until only the caller of that item gets the
    /// error. Repeating a statement is safe: a look-up changes nothing, a revocation can be
    /// repeated, and an insert that failed has recorded nothing, or else fails again because its
    /// rows exist.
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

    /// Runs one statement with the rest of the timeout, which started at `began`.
    async fn run_once(&self, items: Vec<T>, began: Instant) -> Result<R, Error> {
        let left = self.limits.patience.saturating_sub(began.elapsed());
        if left.is_zero() {
            return Err(Error::unavailable(SILENT));
        }
        self.statements.add_one();
        // Nothing that the statement used is reused after a panic, so no broken state is seen.
        let running = AssertUnwindSafe(async { (self.run)(items).await }).catch_unwind();
        match timeout(left, running).await {
            Ok(Ok(result)) => result,
            // The panic hook has written where it happened.
            Ok(Err(_payload)) => Err(Error::internal("a batch statement panicked")),
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
        // This fails only for a caller that has gone away.
        let _ = caller.answer.send(result);
    }
}
