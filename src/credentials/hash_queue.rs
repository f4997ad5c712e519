//! The hash queue: two lanes, each of bounded length. Each secret has a bounded share of a lane, so
//! that no caller fills it with one secret, old or of another client. One source is limited to half
//! of a lane, in case the tag key has leaked and secrets can be invented.

mod lane_queue;

use std::{
    net::IpAddr,
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use tokio::sync::oneshot;

use self::lane_queue::LaneQueue;
use super::{SecretCredentials, verified::Fingerprint};
use crate::{
    domain::{Lane, Malformed, PerLane, SecretHash, SecretId},
    stats::{HashStats, HashTimes},
};

/// Bounds of the hash queue.
#[derive(Debug, Clone, Copy)]
pub(super) struct QueueLimits {
    /// Maximum queued comparisons in each lane.
    pub(super) places: usize,
    /// Maximum of these for one secret, with any client id. One source may have half of `places`.
    pub(super) share: usize,
}

/// Whether the secret matched the hash. An error means that the stored hash cannot be used.
pub(super) type Outcome = Result<bool, Malformed>;

/// One comparison to compute.
pub(super) struct Job {
    pub(super) presented: Fingerprint,
    pub(super) credentials: SecretCredentials,
    pub(super) source: Option<IpAddr>,
    /// Whether this secret failed lately, with any client id.
    pub(super) is_suspect: bool,
    /// The stored hash. `None`: there is no such secret, and the dummy is hashed instead.
    pub(super) hash: Option<SecretHash>,
    /// When the comparison was requested.
    pub(super) since: Instant,
}

impl Job {
    /// Whether this is the same comparison, with the same outcome: equal text and equal hash.
    fn is(&self, presented: &Fingerprint, hash: Option<&SecretHash>) -> bool {
        self.presented == *presented && self.hash.as_ref() == hash
    }
}

/// A caller that waits for a comparison.
pub(super) struct Waiter {
    pub(super) deadline: Instant,
    pub(super) answer: oneshot::Sender<Outcome>,
}

impl Waiter {
    fn still_waits(&self, now: Instant) -> bool {
        !self.answer.is_closed() && now < self.deadline
    }
}

/// The place that a comparison would take in the queue.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    pub(super) lane: Lane,
    pub(super) secret: SecretId,
    pub(super) source: Option<IpAddr>,
    /// Whether this secret failed lately.
    pub(super) is_suspect: bool,
    /// When the caller gives up.
    pub(super) deadline: Instant,
}

/// The queue refuses the comparison; retry after this time.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Full(pub(super) Duration);

/// The hash queue. The hash threads block on it, callers never do.
pub(super) struct HashQueue {
    limits: QueueLimits,
    threads: u32,
    state: Mutex<State>,
    ready: Condvar,
}

struct State {
    lanes: PerLane<LaneQueue>,
    /// The comparisons being computed, each with all callers that wait for it.
    running: Vec<(Fingerprint, Option<SecretHash>, Vec<Waiter>)>,
    /// The lane that is served next.
    next: Lane,
    /// Recent average time of a hash, including the rest after it.
    pace: Duration,
    closed: bool,
    refused: u64,
    abandoned: u64,
    times: HashTimes,
}

impl HashQueue {
    /// A queue for this many threads. `pace` is the first estimate of the time of a hash.
    pub(super) fn new(limits: QueueLimits, threads: u32, pace: Duration) -> Self {
        let state = State {
            lanes: PerLane::default(),
            running: Vec::new(),
            next: Lane::Issue,
            pace,
            closed: false,
            refused: 0,
            abandoned: 0,
            times: HashTimes::default(),
        };
        Self { limits, threads, state: Mutex::new(state), ready: Condvar::new() }
    }

    /// Queues a comparison, or joins an equal one that is queued or running. Equal comparisons have
    /// one outcome, so a client that starts with a hundred concurrent requests costs one hash.
    ///
    /// # Errors
    /// `Full` if there is no place, or if the caller would not be served before its deadline: it is
    /// refused now instead of after the wait.
    pub(super) fn push(&self, lane: Lane, job: Job, waiter: Waiter) -> Result<(), Full> {
        let mut state = self.lock();
        let hash = job.hash.as_ref();
        let running = state
            .running
            .iter_mut()
            .find(|(presented, of, _)| *presented == job.presented && of.as_ref() == hash);
        if let Some((.., waiters)) = running {
            waiters.push(waiter);
            return Ok(());
        }
        let waiting = state.lanes.iter_mut().find_map(|lane| lane.waiters(&job.presented, hash));
        if let Some(waiters) = waiting {
            waiters.push(waiter);
            return Ok(());
        }
        let place = Place {
            lane,
            secret: job.credentials.secret.id(),
            source: job.source,
            is_suspect: job.is_suspect,
            deadline: waiter.deadline,
        };
        self.admit(&mut state, place)?;
        state.lanes[lane].push(job, waiter);
        drop(state);
        self.ready.notify_one();
        Ok(())
    }

    /// Whether `push` would find a place now. Equal credentials that are queued or running share
    /// their place. No data of the client is read, so the result reveals nothing about the client.
    pub(super) fn check_place(&self, presented: &Fingerprint, place: Place) -> Result<(), Full> {
        let mut state = self.lock();
        let waits = state.lanes.iter().any(|lane| lane.has(presented));
        if waits || state.running.iter().any(|(running, ..)| running == presented) {
            return Ok(());
        }
        self.admit(&mut state, place)
    }

    fn admit(&self, state: &mut State, place: Place) -> Result<(), Full> {
        let Place { lane, secret, source, is_suspect, deadline } = place;
        let now = Instant::now();
        let ahead = state.running.len() + state.ahead(lane, secret, is_suspect);
        let wait = state.pace * (u32::try_from(ahead).unwrap_or(u32::MAX) / self.threads);
        let waiting = &mut state.lanes[lane];
        if waiting.len() >= self.limits.places {
            // Callers that gave up must not keep others out.
            state.abandoned += waiting.forget_abandoned(now) as u64;
        }
        if waiting.len() >= self.limits.places
            || waiting.of_secret(secret) >= self.limits.share
            || waiting.of_source(source) >= self.limits.places.div_ceil(2)
            || now + wait >= deadline
        {
            state.refused += 1;
            return Err(Full(wait.max(state.pace)));
        }
        Ok(())
    }

    /// Blocks until there is a comparison with a waiting caller. `None` once the queue is closed.
    pub(super) fn pop(&self) -> Option<Job> {
        let mut state = self.lock();
        loop {
            if state.closed {
                return None;
            }
            if let Some(job) = state.take(Instant::now()) {
                return Some(job);
            }
            state = self.ready.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Answers every caller that waits for this comparison. The thread rests for `rest` after it.
    pub(super) fn finish(&self, job: &Job, outcome: &Outcome, took: Duration, rest: Duration) {
        let mut state = self.lock();
        // A moving average: it follows a change within about eight hashes, and an outlier moves it
        // little.
        state.pace = (state.pace * 7 + took + rest) / 8;
        state.times.record(took);
        let is_it =
            |(presented, hash, _): &(_, Option<SecretHash>, _)| job.is(presented, hash.as_ref());
        let Some(index) = state.running.iter().position(is_it) else { return };
        let (.., waiters) = state.running.swap_remove(index);
        drop(state);
        for waiter in waiters {
            // The caller may have gone away.
            let _ = waiter.answer.send(*outcome);
        }
    }

    /// The current state and the counters.
    pub(super) fn stats(&self) -> HashStats {
        let state = self.lock();
        let count = |length: usize| u32::try_from(length).unwrap_or(u32::MAX);
        let oldest = state.lanes.iter().filter_map(LaneQueue::oldest);
        HashStats {
            waiting: PerLane {
                issue: count(state.lanes.issue.len()),
                inspect: count(state.lanes.inspect.len()),
            },
            oldest: oldest.min().map_or(Duration::ZERO, |since| since.elapsed()),
            running: count(state.running.len()),
            refused: state.refused,
            abandoned: state.abandoned,
            times: state.times.clone(),
        }
    }

    /// Ends the threads and refuses all waiting callers.
    pub(super) fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        state.lanes.iter_mut().for_each(LaneQueue::clear);
        drop(state);
        self.ready.notify_all();
    }

    /// Nothing under the lock panics, so it cannot be poisoned.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Number of comparisons that run before a new one of this secret in this lane. The lanes take
    /// turns, so the other lane adds at most as many as this one.
    fn ahead(&self, lane: Lane, secret: SecretId, is_suspect: bool) -> usize {
        let own = self.lanes[lane].ahead(secret, is_suspect);
        own + own.min(self.lanes[lane.other()].len())
    }

    /// Takes the next comparison. Drops, unhashed, those that no caller waits for any more.
    fn take(&mut self, now: Instant) -> Option<Job> {
        loop {
            let turn = self.next;
            self.next = turn.other();
            let next = self.lanes[turn].pop().or_else(|| self.lanes[turn.other()].pop());
            let (job, mut waiters) = next?;
            let asked = waiters.len();
            waiters.retain(|waiter| waiter.still_waits(now));
            self.abandoned += (asked - waiters.len()) as u64;
            if !waiters.is_empty() {
                self.running.push((job.presented, job.hash.clone(), waiters));
                return Some(job);
            }
        }
    }
}

#[cfg(test)]
mod tests;
