//! Statistics of the use cases, for operators. Plain numbers, independent of their export.

mod log_pace;

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

pub use self::log_pace::LogPace;
use crate::domain::{ClockOffset, PerLane};

/// Statistics of an authority since its start, and the current state of its queue.
#[derive(Debug, Clone, Default)]
pub struct Stats {
    /// Whether calls are answered: a lease is held, or the database needs none.
    pub may_answer: bool,
    /// Statistics of the hash pool.
    pub hash: HashStats,
    /// Batches that record tokens.
    pub recording: BatchStats,
    /// Batches that look tokens up.
    pub looking_up: BatchStats,
    /// Batches that revoke tokens.
    pub revoking: BatchStats,
    /// Statistics of the client and token cache.
    pub cache: CacheStats,
    /// How far this machine's clock is ahead of the database's; `None` if it was not measured.
    pub clock_offset: Option<ClockOffset>,
    /// Secrets that were in the cache of verified secrets and were not hashed.
    pub verified: u64,
    /// Secrets that were not in that cache.
    pub unverified: u64,
    /// Callers that were refused by the lockout.
    pub throttled: u64,
    /// Uses and refusals of secrets.
    pub secret_uses: SecretUseStats,
    /// Quotas of clients.
    pub quota: QuotaStats,
    /// How long ago the uses of secrets were written down that had been counted by then.
    pub evidence_age: Duration,
    /// Introspections of an active token.
    pub active: u64,
    /// Introspections whose result was `active: false`.
    pub inactive: u64,
}

/// Statistics of the uses of secrets, by the state of the secret.
#[derive(Debug, Clone, Copy, Default)]
pub struct SecretUseStats {
    /// Uses of secrets that stay live.
    pub live: u64,
    /// Uses of secrets whose retirement begins later.
    pub retiring: u64,
    /// Refusals of secrets that have ended, or whose client is disabled.
    pub refused: u64,
}

/// Statistics of the quotas. The first of two is the rate, the second the ceiling of live tokens.
#[derive(Debug, Clone, Copy, Default)]
pub struct QuotaStats {
    /// Requests of clients that had used up this limit.
    pub exceeded: [u64; 2],
    /// How often a client reached each of [`PERCENTS`](Self::PERCENTS) of this limit, once per
    /// window.
    pub reached: [[u64; Self::PERCENTS.len()]; 2],
}

impl QuotaStats {
    /// Shares of a limit that are reported, in percent.
    pub const PERCENTS: [u32; 3] = [60, 80, 100];
}

/// Statistics of the client and token cache.
#[derive(Debug, Clone, Copy, Default)]
pub struct CacheStats {
    /// Look-ups that found an entry.
    pub hits: u64,
    /// Look-ups that found no valid entry while a lease was held.
    pub misses: u64,
    /// Cached clients, counted once per credential.
    pub clients: usize,
    /// Cached tokens.
    pub tokens: usize,
    /// Memory of the cached tokens, in bytes.
    pub token_bytes: usize,
}

/// Statistics of a batcher.
#[derive(Debug, Clone, Copy, Default)]
pub struct BatchStats {
    /// Statements run.
    pub statements: u64,
    /// Callers in all statements.
    pub callers: u64,
}

/// State and statistics of the hash pool.
#[derive(Debug, Clone, Default)]
pub struct HashStats {
    /// Queued comparisons of each lane.
    pub waiting: PerLane<u32>,
    /// How long the oldest queued comparison has waited.
    pub oldest: Duration,
    /// Comparisons that are being computed.
    pub running: u32,
    /// Callers that were refused because the queue was full or the wait too long.
    pub refused: u64,
    /// Callers that waited, but had gone away or passed their deadline before their turn.
    pub abandoned: u64,
    /// Durations of hashes.
    pub times: HashTimes,
}

/// Histogram of hash durations.
#[derive(Debug, Clone, Default)]
pub struct HashTimes {
    /// Number of hashes per bucket. The bounds double from one millisecond; the last is infinite.
    counts: [u64; HashTimes::BUCKETS],
    /// Sum of all durations.
    pub total: Duration,
}

impl HashTimes {
    /// The last but one ends at about a second; no hash within the cost cap takes as long.
    const BUCKETS: usize = 12;

    /// Counts one hash that took this long.
    pub(super) fn record(&mut self, took: Duration) {
        let millis = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        let doublings = (u64::BITS - millis.leading_zeros()) as usize;
        self.counts[doublings.min(Self::BUCKETS - 1)] += 1;
        self.total += took;
    }

    /// Upper bound of each bucket in seconds, and the number of hashes in that bucket alone.
    pub fn buckets(&self) -> impl Iterator<Item = (f64, u64)> {
        let last = Self::BUCKETS - 1;
        self.counts.iter().enumerate().map(move |(index, count)| {
            let millis = if index == last { f64::INFINITY } else { f64::from(1_u32 << index) };
            (millis / 1_000.0, *count)
        })
    }
}

/// A counter that threads share.
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
