//! The queue of one lane. Sources take turns: a source with many secrets waits behind its own, and
//! a caller from elsewhere waits for one comparison of each source, not for all of them.

use std::{collections::VecDeque, net::IpAddr, time::Instant};

use super::{Job, Waiter};
use crate::{
    credentials::verified::Fingerprint,
    domain::{ClientId, SecretHash},
};

/// A comparison, and all callers that wait for it.
pub(super) type Asked = (Job, Vec<Waiter>);

/// The queue of one lane. The source that is served next comes first; no source is empty.
#[derive(Default)]
pub(super) struct LaneQueue {
    sources: VecDeque<(Option<IpAddr>, VecDeque<Asked>)>,
}

impl LaneQueue {
    fn asked(&self) -> impl Iterator<Item = &Asked> {
        self.sources.iter().flat_map(|(_, asked)| asked)
    }

    pub(super) fn len(&self) -> usize {
        self.asked().count()
    }

    pub(super) fn of_client(&self, client_id: &ClientId) -> usize {
        self.asked().filter(|(job, _)| job.credentials.client_id == *client_id).count()
    }

    pub(super) fn of_source(&self, source: Option<IpAddr>) -> usize {
        self.sources.iter().find(|(of, _)| *of == source).map_or(0, |(_, asked)| asked.len())
    }

    /// Number of comparisons that run before a new one of this source.
    pub(super) fn ahead(&self, source: Option<IpAddr>) -> usize {
        let own = self.of_source(source);
        let others = self.sources.iter().filter(|(of, _)| *of != source);
        own + others.map(|(_, asked)| asked.len().min(own + 1)).sum::<usize>()
    }

    /// When the oldest queued comparison was requested.
    pub(super) fn oldest(&self) -> Option<Instant> {
        self.asked().map(|(job, _)| job.since).min()
    }

    pub(super) fn has(&self, presented: &Fingerprint) -> bool {
        self.asked().any(|(job, _)| job.presented == *presented)
    }

    /// The callers that wait for the same comparison.
    pub(super) fn waiters(
        &mut self,
        presented: &Fingerprint,
        hash: Option<&SecretHash>,
    ) -> Option<&mut Vec<Waiter>> {
        let mut asked = self.sources.iter_mut().flat_map(|(_, asked)| asked);
        asked.find(|(job, _)| job.is(presented, hash)).map(|(_, waiters)| waiters)
    }

    pub(super) fn push(&mut self, job: Job, waiter: Waiter) {
        let source = job.source;
        let asked = (job, vec![waiter]);
        match self.sources.iter_mut().find(|(of, _)| *of == source) {
            Some((_, waiting)) => waiting.push_back(asked),
            None => self.sources.push_back((source, VecDeque::from([asked]))),
        }
    }

    /// Takes the next comparison. Its source moves to the end.
    pub(super) fn pop(&mut self) -> Option<Asked> {
        let (source, mut asked) = self.sources.pop_front()?;
        let next = asked.pop_front();
        if !asked.is_empty() {
            self.sources.push_back((source, asked));
        }
        next
    }

    /// Removes comparisons that no caller waits for any more, and returns their number.
    pub(super) fn forget_abandoned(&mut self, now: Instant) -> usize {
        let before = self.len();
        for (_, asked) in &mut self.sources {
            asked.retain(|(_, waiters)| waiters.iter().any(|waiter| waiter.still_waits(now)));
        }
        self.sources.retain(|(_, asked)| !asked.is_empty());
        before - self.len()
    }

    pub(super) fn clear(&mut self) {
        self.sources.clear();
    }
}
