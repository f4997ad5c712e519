//! The queue before the hashing threads: two lanes, each of bounded length, with a bounded share
//! for each client and each source, so that no one caller fills it.

mod lane_queue;

use std::{
    net::IpAddr,
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use tokio::sync::oneshot;

use self::lane_queue::LaneQueue;
use super::{Credentials, verified::Fingerprint};
use crate::{
    domain::{ClientId, Lane, Malformed, PerLane, SecretHash},
    stats::{HashStats, HashTimes},
};

/// How much may wait, and how long.
#[derive(Debug, Clone, Copy)]
pub(super) struct QueueLimits {
    /// Comparisons that may wait in each lane.
    pub(super) places: usize,
    /// Of these, the most for one client; and twice as many for one source.
    pub(super) share: usize,
}

/// What a comparison found. An error means that the stored hash cannot be used.
pub(super) type Outcome = Result<bool, Malformed>;

/// One comparison to compute.
pub(super) struct Job {
    pub(super) presented: Fingerprint,
    pub(super) credentials: Credentials,
    pub(super) source: Option<IpAddr>,
    /// None where there is nothing to compare with.
    pub(super) hash: Option<SecretHash>,
    /// When it was asked for.
    pub(super) since: Instant,
}

impl Job {
    /// Whether the outcome is the same: the same text compared with the same hash.
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

/// There is no place; come back after this time.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Full(pub(super) Duration);

/// The queue. The threads block on it, callers never do.
pub(super) struct HashQueue {
    limits: QueueLimits,
    threads: u32,
    state: Mutex<State>,
    ready: Condvar,
}

struct State {
    lanes: PerLane<LaneQueue>,
    /// What is being computed now, with whoever asked for the same meanwhile.
    running: Vec<(Fingerprint, Option<SecretHash>, Vec<Waiter>)>,
    /// The lane whose turn it is.
    next: Lane,
    /// What a hash took lately, with the rest after it.
    pace: Duration,
    closed: bool,
    refused: u64,
    abandoned: u64,
    times: HashTimes,
}

impl HashQueue {
    /// A queue for this many threads, of which a hash is guessed to take `pace` at first.
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

    /// Puts a comparison in the queue, or joins an equal one that waits or runs: equal ones have
    /// one outcome, so a client that starts with a hundred requests at once costs one hash.
    ///
    /// Key would not be served before its deadline is turned away now and not after the wait.
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
        let (client_id, source) = (&job.credentials.client_id, job.source);
        self.admit(&mut state, lane, client_id, source, waiter.deadline)?;
        state.lanes[lane].push(job, waiter);
        drop(state);
        self.ready.notify_one();
        Ok(())
    }

    /// Whether `push` would find a place now. What is presented already by somebody else will
    /// share its place. Nothing of the client is asked for, so the answer says nothing about it.
    pub(super) fn check_place(
        &self,
        lane: Lane,
        presented: &Fingerprint,
        client_id: &ClientId,
        source: Option<IpAddr>,
        deadline: Instant,
    ) -> Result<(), Full> {
        let mut state = self.lock();
        let waits = state.lanes.iter().any(|lane| lane.has(presented));
        if waits || state.running.iter().any(|(running, ..)| running == presented) {
            return Ok(());
        }
        self.admit(&mut state, lane, client_id, source, deadline)
    }

    fn admit(
        &self,
        state: &mut State,
        lane: Lane,
        client_id: &ClientId,
        source: Option<IpAddr>,
        deadline: Instant,
    ) -> Result<(), Full> {
        let now = Instant::now();
        let ahead = state.running.len() + state.ahead(lane, source);
        let wait = state.pace * (u32::try_from(ahead).unwrap_or(u32::MAX) / self.threads);
        let waiting = &mut state.lanes[lane];
        if waiting.len() >= self.limits.places {
            // Those that gave up must not keep others out.
            state.abandoned += waiting.forget_abandoned(now) as u64;
        }
        if waiting.len() >= self.limits.places
            || waiting.of_client(client_id) >= self.limits.share
            || waiting.of_source(source) >= 2 * self.limits.share
            || now + wait >= deadline
        {
            state.refused += 1;
            return Err(Full(wait.max(state.pace)));
        }
        Ok(())
    }

    /// Waits for the next comparison that somebody still waits for. None once the queue is closed.
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

    /// Answers everybody who waits for this comparison, after which the thread rests for a while.
    pub(super) fn finish(&self, job: &Job, outcome: &Outcome, took: Duration, rest: Duration) {
        let mut state = self.lock();
        // Follows a change within about eight hashes; one odd hash moves it little.
        state.pace = (state.pace * 7 + took + rest) / 8;
        state.times.record(took);
        let is_it =
            |(presented, hash, _): &(_, Option<SecretHash>, _)| job.is(presented, hash.as_ref());
        let Some(index) = state.running.iter().position(is_it) else { return };
        let (.., waiters) = state.running.swap_remove(index);
        drop(state);
        for waiter in waiters {
            // It may have gone away meanwhile.
            let _ = waiter.answer.send(*outcome);
        }
    }

    /// How it stands now, and what it has counted.
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

    /// Ends the threads and turns away whoever waits.
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
    /// How many comparisons go before one that this source brings to this lane now. The lanes take
    /// turns, so of the other one no more count than of this.
    fn ahead(&self, lane: Lane, source: Option<IpAddr>) -> usize {
        let own = self.lanes[lane].ahead(source);
        own + own.min(self.lanes[lane.other()].len())
    }

    /// Takes the next comparison, and drops those that nobody waits for any more unhashed.
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
