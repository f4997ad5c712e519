//! Uses of secrets that this node has counted and not yet written down.
//!
//! Counting is on the path of every request. It takes one of several locks, for a look-up in a map,
//! and allocates nothing for a secret and a source that were counted since the last time.

use std::{
    collections::{BTreeMap, HashMap, hash_map::Entry},
    mem,
    net::IpAddr,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use crate::{
    domain::{ClientId, SecretId, SecretUse, Timestamp},
    stats::{Count, SecretUseStats},
};

/// Number of parts with a lock of their own. Ids of secrets are random, so they are spread evenly.
const PARTS: usize = 16;

/// Maximum secrets per part. With more, memory is worth more than complete evidence.
const MOST: usize = 4_096;

/// Maximum secrets and sources per part of which it is kept that the secret was used although it is
/// retiring. With more, some are not logged.
const MOST_RETIRING: usize = 64;

/// Counted uses, each secret once.
pub type Counted = BTreeMap<SecretId, SecretUse>;

/// Retiring secrets that were used, each with the source, and their clients.
pub(crate) type RetiringUses = HashMap<(SecretId, Option<IpAddr>), ClientId>;

/// Uses that were counted since they were taken last.
#[derive(Debug, Default)]
pub struct Uses {
    parts: [Mutex<Part>; PARTS],
    /// Uptime at which everything counted until then was written, in milliseconds.
    written: AtomicU64,
    live: Count,
    retiring: Count,
    refused: Count,
}

#[derive(Debug, Default)]
struct Part {
    uses: HashMap<SecretId, SecretUse>,
    /// When a use could not be counted for want of room.
    lost_since: Option<Timestamp>,
    retiring: RetiringUses,
}

impl Uses {
    /// Maximum secrets whose uses are kept.
    pub const MOST: usize = PARTS * MOST;

    /// Counts a use of a secret that authenticated a client.
    pub fn count(&self, secret: SecretId, source: Option<IpAddr>, now: Timestamp) {
        self.live.add_one();
        self.with(secret, now, |uses| uses.count(source, now));
    }

    /// Counts a use of a secret that is live and retiring.
    pub(crate) fn count_retiring(
        &self,
        secret: SecretId,
        client: &ClientId,
        source: Option<IpAddr>,
        now: Timestamp,
    ) {
        self.retiring.add_one();
        self.with(secret, now, |uses| uses.count(source, now));
        let mut part = self.part(secret);
        if part.retiring.len() < MOST_RETIRING {
            part.retiring.entry((secret, source)).or_insert_with(|| client.clone());
        }
    }

    /// Counts a refusal of a secret that a client has, and that is not live.
    pub(crate) fn count_refusal(&self, secret: SecretId, source: Option<IpAddr>, now: Timestamp) {
        self.refused.add_one();
        self.with(secret, now, |uses| uses.count_refusal(source, now));
    }

    fn with(&self, secret: SecretId, now: Timestamp, count: impl FnOnce(&mut SecretUse)) {
        let mut part = self.part(secret);
        let part = &mut *part;
        let is_full = part.uses.len() >= MOST;
        match part.uses.entry(secret) {
            Entry::Occupied(known) => count(known.into_mut()),
            Entry::Vacant(place) if !is_full => count(place.insert(SecretUse::default())),
            Entry::Vacant(_) => {
                part.lost_since.get_or_insert(now);
            }
        }
    }

    fn part(&self, secret: SecretId) -> MutexGuard<'_, Part> {
        let [.., last] = secret.0.into_bytes();
        // Nothing under the lock panics, so it cannot be poisoned.
        self.parts[usize::from(last) % PARTS].lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many uses and refusals there were since the start.
    pub(crate) fn stats(&self) -> SecretUseStats {
        SecretUseStats {
            live: self.live.get(),
            retiring: self.retiring.get(),
            refused: self.refused.get(),
        }
    }

    /// Takes the retiring secrets that were used since they were taken last.
    pub(crate) fn take_retiring(&self) -> RetiringUses {
        let mut taken = RetiringUses::new();
        for part in &self.parts {
            let mut part = part.lock().unwrap_or_else(PoisonError::into_inner);
            taken.extend(mem::take(&mut part.retiring));
        }
        taken
    }

    /// Records that everything was written that had been counted by this uptime.
    pub fn set_written(&self, uptime: Duration) {
        let millis = u64::try_from(uptime.as_millis()).unwrap_or(u64::MAX);
        self.written.store(millis, Ordering::Relaxed);
    }

    /// How long ago everything was written that had been counted by then.
    pub(crate) fn age(&self, uptime: Duration) -> Duration {
        uptime.saturating_sub(Duration::from_millis(self.written.load(Ordering::Relaxed)))
    }

    /// Moves everything that was counted into `counted`, and returns since when something could not
    /// be counted.
    pub fn take_into(&self, counted: &mut Counted) -> Option<Timestamp> {
        let mut lost_since = None;
        for part in &self.parts {
            // The lock is held only for this exchange, because requests wait for it.
            let (uses, lost) = {
                let mut part = part.lock().unwrap_or_else(PoisonError::into_inner);
                (mem::take(&mut part.uses), part.lost_since.take())
            };
            lost_since = [lost_since, lost].into_iter().flatten().min();
            for (secret, more) in uses {
                if counted.len() < Self::MOST || counted.contains_key(&secret) {
                    counted.entry(secret).or_default().add(more);
                } else {
                    let first = more.used.map(|used| used.first).or(more.last_refused_at);
                    lost_since = [lost_since, first].into_iter().flatten().min();
                }
            }
        }
        lost_since
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_unix_micros(seconds * 1_000_000)
    }

    fn secret(number: usize) -> SecretId {
        SecretId(Uuid::from_u128(number as u128))
    }

    #[test]
    fn what_is_counted_is_taken_once() {
        let (uses, mut counted) = (Uses::default(), Counted::new());
        let here = Some(IpAddr::from([10, 0, 0, 1]));
        for number in 0..3 {
            uses.count(secret(1), here, at(number));
            uses.count_refusal(secret(2), None, at(number));
        }
        assert_eq!(uses.take_into(&mut counted), None);
        assert_eq!((counted[&secret(1)].uses, counted[&secret(1)].last_source), (3, here));
        assert_eq!((counted[&secret(2)].refused, counted[&secret(2)].used), (3, None));

        // What could not be written is kept, and later uses are added to it.
        uses.count(secret(1), here, at(9));
        uses.take_into(&mut counted);
        assert_eq!(counted[&secret(1)].uses, 4);
        assert_eq!(counted[&secret(1)].last_used_at(), Some(at(9)));
        counted.clear();
        uses.take_into(&mut counted);
        assert!(counted.is_empty());
    }

    #[test]
    fn uses_of_retiring_secrets_are_kept_once_per_source_and_bounded() {
        let (uses, client) = (Uses::default(), ClientId::parse("orders").unwrap());
        let source = |number| Some(IpAddr::from([10, 0, 0, number]));
        for number in [1, 2, 1] {
            uses.count_retiring(secret(1), &client, source(number), at(0));
        }
        let taken = uses.take_retiring();
        assert_eq!((taken.len(), &taken[&(secret(1), source(2))]), (2, &client));
        assert!(uses.take_retiring().is_empty());
        for number in 0..=255 {
            uses.count_retiring(secret(1), &client, source(number), at(0));
        }
        assert_eq!(uses.take_retiring().len(), MOST_RETIRING);
        assert_eq!((uses.stats().retiring, uses.stats().live), (259, 0));
        let mut counted = Counted::new();
        uses.take_into(&mut counted);
        assert_eq!(counted[&secret(1)].uses, 259);
    }

    #[test]
    fn memory_is_bounded_and_what_does_not_fit_is_known_to_be_lost() {
        let (uses, mut counted) = (Uses::default(), Counted::new());
        for number in 0..=Uses::MOST {
            uses.count(secret(number), None, at(0).plus(Duration::from_micros(number as u64)));
        }
        let lost = uses.take_into(&mut counted);
        assert_eq!(counted.len(), Uses::MOST);
        assert_eq!(lost, Some(at(0).plus(Duration::from_micros(Uses::MOST as u64))));
        // Nothing could be written meanwhile.
        uses.count(secret(0), None, at(60));
        uses.count(secret(Uses::MOST), None, at(61));
        assert_eq!(uses.take_into(&mut counted), Some(at(61)));
        assert_eq!((counted.len(), counted[&secret(0)].uses), (Uses::MOST, 2));
    }
}
