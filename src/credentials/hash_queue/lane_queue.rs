//! The queue of one lane. Secrets take turns: many comparisons of one secret wait behind each
//! other, and a caller with another secret waits for one comparison of each secret, not for all.
//!
//! Turns are given by the id of the presented secret and not by source, because no caller can
//! present the secret of another client. Clients behind one proxy or shim share an address, and an
//! attacker can have many.
//!
//! Secrets that failed lately come after all others. Otherwise a few dozen old secrets would take
//! as many turns as the clients that start at the same time.

use std::{collections::VecDeque, net::IpAddr, time::Instant};

use super::{Job, Waiter};
use crate::{
    credentials::verified::Fingerprint,
    domain::{SecretHash, SecretId},
};

/// A comparison, and all callers that wait for it.
pub(super) type Asked = (Job, Vec<Waiter>);

/// The queue of one lane.
#[derive(Default)]
pub(super) struct LaneQueue {
    /// Secrets that did not fail lately.
    fresh: Turns,
    /// Secrets that did. They are served while no fresh one waits.
    suspect: Turns,
}

impl LaneQueue {
    const fn turns(&self, is_suspect: bool) -> &Turns {
        if is_suspect { &self.suspect } else { &self.fresh }
    }

    pub(super) fn len(&self) -> usize {
        self.fresh.len() + self.suspect.len()
    }

    pub(super) fn of_secret(&self, secret: SecretId) -> usize {
        self.fresh.of_secret(secret) + self.suspect.of_secret(secret)
    }

    pub(super) fn of_source(&self, source: Option<IpAddr>) -> usize {
        self.fresh.of_source(source) + self.suspect.of_source(source)
    }

    /// Number of comparisons that run before a new one of this secret.
    pub(super) fn ahead(&self, secret: SecretId, is_suspect: bool) -> usize {
        let before = if is_suspect { self.fresh.len() } else { 0 };
        before + self.turns(is_suspect).ahead(secret)
    }

    /// When the oldest queued comparison was requested.
    pub(super) fn oldest(&self) -> Option<Instant> {
        self.fresh.oldest().into_iter().chain(self.suspect.oldest()).min()
    }

    pub(super) fn has(&self, presented: &Fingerprint) -> bool {
        self.fresh.has(presented) || self.suspect.has(presented)
    }

    /// The callers that wait for the same comparison.
    pub(super) fn waiters(
        &mut self,
        presented: &Fingerprint,
        hash: Option<&SecretHash>,
    ) -> Option<&mut Vec<Waiter>> {
        let fresh = self.fresh.waiters(presented, hash);
        fresh.or_else(|| self.suspect.waiters(presented, hash))
    }

    pub(super) fn push(&mut self, job: Job, waiter: Waiter) {
        let turns = if job.is_suspect { &mut self.suspect } else { &mut self.fresh };
        turns.push(job, waiter);
    }

    /// Takes the next comparison.
    pub(super) fn pop(&mut self) -> Option<Asked> {
        self.fresh.pop().or_else(|| self.suspect.pop())
    }

    /// Removes comparisons that no caller waits for any more, and returns their number.
    pub(super) fn forget_abandoned(&mut self, now: Instant) -> usize {
        self.fresh.forget_abandoned(now) + self.suspect.forget_abandoned(now)
    }

    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }
}

/// Comparisons grouped by secret, of which one per secret is served in each round. The secret to
/// serve next is first. A secret without comparisons is removed.
#[derive(Default)]
struct Turns {
    secrets: VecDeque<(SecretId, VecDeque<Asked>)>,
}

impl Turns {
    fn asked(&self) -> impl Iterator<Item = &Asked> {
        self.secrets.iter().flat_map(|(_, asked)| asked)
    }

    fn len(&self) -> usize {
        self.asked().count()
    }

    fn of_secret(&self, secret: SecretId) -> usize {
        self.secrets.iter().find(|(of, _)| *of == secret).map_or(0, |(_, asked)| asked.len())
    }

    fn of_source(&self, source: Option<IpAddr>) -> usize {
        self.asked().filter(|(job, _)| job.source == source).count()
    }

    /// Number of comparisons that run before a new one of this secret.
    fn ahead(&self, secret: SecretId) -> usize {
        let own = self.of_secret(secret);
        let others = self.secrets.iter().filter(|(of, _)| *of != secret);
        own + others.map(|(_, asked)| asked.len().min(own + 1)).sum::<usize>()
    }

    /// When the oldest queued comparison was requested.
    fn oldest(&self) -> Option<Instant> {
        self.asked().map(|(job, _)| job.since).min()
    }

    fn has(&self, presented: &Fingerprint) -> bool {
        self.asked().any(|(job, _)| job.presented == *presented)
    }

    /// The callers that wait for the same comparison.
    fn waiters(
        &mut self,
        presented: &Fingerprint,
        hash: Option<&SecretHash>,
    ) -> Option<&mut Vec<Waiter>> {
        let mut asked = self.secrets.iter_mut().flat_map(|(_, asked)| asked);
        asked.find(|(job, _)| job.is(presented, hash)).map(|(_, waiters)| waiters)
    }

    fn push(&mut self, job: Job, waiter: Waiter) {
        let secret = job.credentials.secret.id();
        let asked = (job, vec![waiter]);
        match self.secrets.iter_mut().find(|(of, _)| *of == secret) {
            Some((_, waiting)) => waiting.push_back(asked),
            None => self.secrets.push_back((secret, VecDeque::from([asked]))),
        }
    }

    /// Takes the next comparison. Its secret moves to the end.
    fn pop(&mut self) -> Option<Asked> {
        let (secret, mut asked) = self.secrets.pop_front()?;
        let next = asked.pop_front();
        if !asked.is_empty() {
            self.secrets.push_back((secret, asked));
        }
        next
    }

    /// Removes comparisons that no caller waits for any more, and returns their number.
    fn forget_abandoned(&mut self, now: Instant) -> usize {
        let before = self.len();
        for (_, asked) in &mut self.secrets {
            asked.retain(|(_, waiters)| waiters.iter().any(|waiter| waiter.still_waits(now)));
        }
        self.secrets.retain(|(_, asked)| !asked.is_empty());
        before - self.len()
    }
}
