//! The batcher: one SQL statement for several callers. Callers that arrive while a statement runs
//! form the next batch; a lone caller does not wait for others. If one caller's item makes a
//! statement fail, only that caller gets the error.

mod halving;

use std::{
    collections::VecDeque,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use tokio::{runtime::Handle, sync::oneshot};

use crate::{
    domain::Error,
    stats::{BatchStats, Count},
};

/// Running time after which a statement counts as stuck and the next batch starts beside it.
/// Normally a statement takes a few milliseconds.
const LATE: Duration = Duration::from_millis(100);

/// Runs one statement for all of these items.
type Run<T, R> =
    Box<dyn Fn(Vec<T>) -> Pin<Box<dyn Future<Output = Result<R, Error>> + Send>> + Send + Sync>;

/// Limits of a batcher.
#[derive(Debug, Clone, Copy)]
pub(super) struct BatchLimits {
    /// Maximum waiting callers; further ones are refused.
    pub(super) waiting: usize,
    /// Maximum callers of one statement.
    pub(super) largest: usize,
    /// Maximum concurrent statements.
    pub(super) statements: usize,
    /// Number of waiting callers from which another statement starts beside a running one. With
    /// fewer, the statement would cost more than the wait.
    pub(super) overlap: usize,
    /// Timeout of a batch, including the statements that isolate its failing items. It is needed
    /// because all callers may have gone, and a connection that died silently never answers.
    pub(super) patience: Duration,
}

/// Groups concurrent callers into batches.
pub(super) struct Batcher<T, R>(Arc<Inner<T, R>>);

struct Inner<T, R> {
    run: Run<T, R>,
    limits: BatchLimits,
    /// Runtime that statements run on: the one that created the batcher, not that of the caller,
    /// whose thread has connections to serve.
    runtime: Handle,
    state: Mutex<State<T, R>>,
    statements: Count,
    callers: Count,
}

struct State<T, R> {
    waiting: VecDeque<Caller<T, R>>,
    running: usize,
    /// When the newest running statement began; `None` if no statement is running.
    began: Option<Instant>,
}

struct Caller<T, R> {
    item: T,
    answer: oneshot::Sender<Result<R, Error>>,
}

impl<T: Clone + Send + 'static, R: Clone + Send + 'static> Batcher<T, R> {
    pub(super) fn new<F>(
        limits: BatchLimits,
        run: impl Fn(Vec<T>) -> F + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = Result<R, Error>> + Send + 'static,
    {
        let state = Mutex::new(State { waiting: VecDeque::new(), running: 0, began: None });
        let run: Run<T, R> = Box::new(move |items| Box::pin(run(items)));
        let (statements, callers) = (Count::default(), Count::default());
        let runtime = Handle::current();
        Self(Arc::new(Inner { run, limits, runtime, state, statements, callers }))
    }

    /// Adds `item` to the next batch and returns the result of its statement. The statement runs to
    /// its end in a task of its own: a caller that goes away leaves nothing half done.
    ///
    /// # Errors
    /// The error of the statement, or `TooManyRequests` if too many callers wait.
    pub(super) async fn submit(&self, item: T) -> Result<R, Error> {
        let (answer, answered) = oneshot::channel();
        {
            let mut state = self.0.state();
            let BatchLimits { waiting, statements, overlap, .. } = self.0.limits;
            if state.waiting.len() >= waiting {
                return Err(Error::queue_full(Duration::from_secs(1)));
            }
            state.waiting.push_back(Caller { item, answer });
            // A late statement may never finish, so callers do not wait behind it for long.
            let is_late = state.began.is_none_or(|began| began.elapsed() > LATE);
            let is_due = is_late || state.waiting.len() >= overlap;
            if state.running < statements && is_due {
                state.running += 1;
                state.began = Some(Instant::now());
                let running = BatchWorker { group: Arc::clone(&self.0), has_ended: false };
                self.0.runtime.spawn(running.all());
            }
        }
        answered.await.unwrap_or_else(|_| Err(Error::internal("a batch statement did not finish")))
    }

    /// Number of statements run, and of callers in them.
    pub(super) fn stats(&self) -> BatchStats {
        BatchStats { statements: self.0.statements.get(), callers: self.0.callers.get() }
    }
}

impl<T, R> State<T, R> {
    fn end_one(&mut self) {
        self.running -= 1;
        if self.running == 0 {
            self.began = None;
        }
    }
}

impl<T, R> Inner<T, R> {
    fn state(&self) -> MutexGuard<'_, State<T, R>> {
        // Nothing under the lock panics, so it cannot be poisoned.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A task that runs statements for as long as callers wait.
struct BatchWorker<T, R> {
    group: Arc<Inner<T, R>>,
    has_ended: bool,
}

impl<T: Clone, R: Clone> BatchWorker<T, R> {
    async fn all(mut self) {
        loop {
            // Lets callers that were just answered and ask again join this batch. Otherwise a
            // batch holds only half of the callers, and the other half waits for the next one.
            tokio::task::yield_now().await;
            let Some(callers) = self.next() else { return };
            // Callers that have gone away need no statement.
            let callers: Vec<_> =
                callers.into_iter().filter(|caller| !caller.answer.is_closed()).collect();
            if callers.is_empty() {
                continue;
            }
            self.group.callers.add(callers.len() as u64);
            self.group.serve(callers).await;
        }
    }

    /// Takes the callers of the next batch. If there are none, the worker ends under the same lock,
    /// so that no caller can arrive in between and wait for ever.
    fn next(&mut self) -> Option<Vec<Caller<T, R>>> {
        let mut state = self.group.state();
        if state.waiting.is_empty() {
            state.end_one();
            self.has_ended = true;
            return None;
        }
        state.began = Some(Instant::now());
        let largest = state.waiting.len().min(self.group.limits.largest);
        Some(state.waiting.drain(..largest).collect())
    }
}

impl<T, R> Drop for BatchWorker<T, R> {
    /// After a panic no other worker may be left for the waiting callers. Dropping them gives each
    /// an error.
    fn drop(&mut self) {
        if !self.has_ended {
            let mut state = self.group.state();
            state.end_one();
            if state.running == 0 {
                state.waiting.clear();
            }
        }
    }
}

#[cfg(test)]
mod tests;
