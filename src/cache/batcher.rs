//! One statement for many callers. What waits while one statement runs forms the next; alone, a
//! caller does not linger. A statement that fails because of one caller fails that one alone.

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

/// A statement takes a few milliseconds.
const LATE: Duration = Duration::from_millis(100);

/// Runs a statement for all of these.
type Run<T, R> =
    Box<dyn Fn(Vec<T>) -> Pin<Box<dyn Future<Output = Result<R, Error>> + Send>> + Send + Sync>;

/// How callers are grouped.
#[derive(Debug, Clone, Copy)]
pub(super) struct BatchLimits {
    /// Callers that may wait; further ones are turned away.
    pub(super) waiting: usize,
    /// Callers of one statement.
    pub(super) largest: usize,
    /// Statements at the same time.
    pub(super) statements: usize,
    /// A further statement begins beside others only for so many callers: with fewer it would cost
    /// more than their waiting.
    pub(super) overlap: usize,
    /// For a statement, with those that find out by whose fault it failed. Its callers may all have
    /// gone, and a connection that died silently never answers.
    pub(super) patience: Duration,
}

/// Callers on their way into statements.
pub(super) struct Batcher<T, R>(Arc<Inner<T, R>>);

struct Inner<T, R> {
    run: Run<T, R>,
    limits: BatchLimits,
    /// Where statements run: the runtime that made the group, and not that of the caller, whose
    /// thread has connections to serve.
    runtime: Handle,
    state: Mutex<State<T, R>>,
    statements: Count,
    callers: Count,
}

struct State<T, R> {
    waiting: VecDeque<Caller<T, R>>,
    running: usize,
    /// When the last of the statements began that are running; none if none is.
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

    /// Goes along with the next statement and returns what it said. The statement runs to its end
    /// in a task of its own: a caller who goes away leaves nothing half done.
    ///
    /// # Errors
    /// What the statement says, and `TooManyRequests` if too many wait.
    pub(super) async fn submit(&self, item: T) -> Result<R, Error> {
        let (answer, answered) = oneshot::channel();
        {
            let mut state = self.0.state();
            let BatchLimits { waiting, statements, overlap, .. } = self.0.limits;
            if state.waiting.len() >= waiting {
                return Err(Error::TooManyRequests { retry_after: Duration::from_secs(1) });
            }
            state.waiting.push_back(Caller { item, answer });
            // One that is late may never answer: nobody waits behind it for long.
            let is_late = state.began.is_none_or(|began| began.elapsed() > LATE);
            let is_due = is_late || state.waiting.len() >= overlap;
            if state.running < statements && is_due {
                state.running += 1;
                state.began = Some(Instant::now());
                let running = BatchWorker { group: Arc::clone(&self.0), has_ended: false };
                self.0.runtime.spawn(running.all());
            }
        }
        answered.await.unwrap_or_else(|_| Err(Error::internal("a shared statement did not end")))
    }

    /// Statements that ran, and the callers in them.
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

/// One that runs statements, for as long as there are callers.
struct BatchWorker<T, R> {
    group: Arc<Inner<T, R>>,
    has_ended: bool,
}

impl<T: Clone, R: Clone> BatchWorker<T, R> {
    async fn all(mut self) {
        loop {
            // Those who were just answered and ask again come along: without this a statement
            // carries only half of the callers, and the other half waits for the next.
            tokio::task::yield_now().await;
            let Some(callers) = self.next() else { return };
            // Whoever has gone away is not worth a statement.
            let callers: Vec<_> =
                callers.into_iter().filter(|caller| !caller.answer.is_closed()).collect();
            if callers.is_empty() {
                continue;
            }
            self.group.callers.add(callers.len() as u64);
            self.group.serve(callers).await;
        }
    }

    /// The callers of the next statement. That there are none and that this one ends is one step,
    /// so that nobody comes in between and waits for ever.
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
    /// After a panic nobody else may be there for those who wait: they are told.
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
