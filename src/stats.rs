//! What the use cases count, for whoever looks after a node. Plain numbers: what becomes of them
//! is not their concern.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use crate::domain::{ClockOffset, PerLane};

/// The numbers of an authority since its start, and how its queue stands now.
#[derive(Debug, Clone, Default)]
pub struct Stats {
    /// The hash pool.
    pub hash: HashStats,
    /// Statements that record tokens.
    pub recording: BatchStats,
    /// Statements that look tokens up.
    pub looking_up: BatchStats,
    /// What is remembered of the database.
    pub cache: CacheStats,
    /// How far this machine's clock is ahead of the database's, if that was asked.
    pub clock_offset: Option<ClockOffset>,
    /// Secrets that had been verified lately and were not hashed again.
    pub verified: u64,
    /// Secrets that had not.
    pub unverified: u64,
    /// Callers that were turned away because they had failed too often.
    pub throttled: u64,
    /// Introspections of a token that is alive.
    pub active: u64,
    /// Introspections of anything else.
    pub inactive: u64,
}

/// What a node remembers of the database.
#[derive(Debug, Clone, Copy, Default)]
pub struct CacheStats {
    /// Clients and tokens that were remembered.
    pub hits: u64,
    /// Those that had to be looked for.
    pub misses: u64,
    /// Clients that are remembered, with a secret each.
    pub clients: usize,
    /// Tokens that are remembered.
    pub tokens: usize,
    /// What these take.
    pub token_bytes: usize,
    /// Whether what is remembered counts now.
    pub is_leased: bool,
}

/// Statements that callers share.
#[derive(Debug, Clone, Copy, Default)]
pub struct BatchStats {
    /// Statements that ran.
    pub statements: u64,
    /// Callers in all of them.
    pub callers: u64,
}

/// How the hash pool stands.
#[derive(Debug, Clone, Default)]
pub struct HashStats {
    /// Comparisons that wait, in the lane of issuing and in that of introspection.
    pub waiting: PerLane<u32>,
    /// How long the oldest of them has waited.
    pub oldest: Duration,
    /// Comparisons that are being computed.
    pub running: u32,
    /// Callers that were refused because there was no place or no time.
    pub refused: u64,
    /// Callers that waited, and were gone or too late before it was their turn.
    pub abandoned: u64,
    /// What hashes took.
    pub times: HashTimes,
}

/// How many hashes took how long.
#[derive(Debug, Clone, Default)]
pub struct HashTimes {
    /// By doubling, the first up to a millisecond.
    counts: [u64; HashTimes::BUCKETS],
    /// All hashes together.
    pub total: Duration,
}

impl HashTimes {
    /// The last but one ends at a second; no hash within the cost cap takes as long.
    const BUCKETS: usize = 12;

    /// Counts one.
    pub(super) fn record(&mut self, took: Duration) {
        let millis = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        let doublings = (u64::BITS - millis.leading_zeros()) as usize;
        self.counts[doublings.min(Self::BUCKETS - 1)] += 1;
        self.total += took;
    }

    /// The upper bound of each bucket in seconds, and how many fell into it.
    pub fn buckets(&self) -> impl Iterator<Item = (f64, u64)> {
        let last = Self::BUCKETS - 1;
        self.counts.iter().enumerate().map(move |(index, count)| {
            let millis = if index == last { f64::INFINITY } else { f64::from(1_u32 << index) };
            (millis / 1_000.0, *count)
        })
    }
}

/// A number that many count.
#[derive(Debug, Default)]
pub(super) struct Count(AtomicU64);

impl Count {
    pub(super) fn add_one(&self) {
        self.add(1);
    }

    pub(super) fn add(&self, more: u64) {
        self.0.fetch_add(more, Ordering::Relaxed);
    }

    pub(super) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_falls_into_the_bucket_below_whose_bound_it_is() {
        let mut times = HashTimes::default();
        for millis in [0, 1, 3, 20, 900, 1_023, 1_024, 5_000] {
            times.record(Duration::from_millis(millis));
        }
        let filled: Vec<_> = times.buckets().filter(|(_, count)| *count > 0).collect();
        let expected =
            [(0.001, 1), (0.002, 1), (0.004, 1), (0.032, 1), (1.024, 2), (f64::INFINITY, 2)];
        assert_eq!(filled, expected);
        assert_eq!(times.total, Duration::from_millis(7_971));
    }
}
