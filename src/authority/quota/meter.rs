//! The meter of one client: a token bucket, and a count of the tokens that may be alive.
//!
//! Times are nanoseconds of uptime, which is never set and includes time while the machine was
//! suspended.

use std::time::Duration;

use crate::{
    domain::{LimitState, Quota, QuotaKind, QuotaState},
    stats::QuotaStats,
};

/// Slots of the count of live tokens: one for each fifteenth of a lifetime, and one for the part
/// that has just begun.
const SLOTS: usize = 16;

/// Least interval in which a share of a limit is reported once.
const REPORT_WINDOW: Duration = Duration::from_mins(1);

/// What one client has used of its quota.
#[derive(Default)]
pub(super) struct Meter {
    bucket: Bucket,
    live: LiveTokens,
    told: [Told; 2],
}

/// Result of taking one token.
pub(super) struct Taken {
    /// The state after it.
    pub(super) state: QuotaState,
    /// The limit that allows no more tokens now, and for how long. Nothing was taken then.
    pub(super) exceeded: Option<(QuotaKind, Duration)>,
    /// For each limit the place in [`QuotaStats::PERCENTS`] that was newly reached.
    pub(super) reached: [Option<usize>; 2],
}

impl Meter {
    /// Takes one token, if both limits allow it.
    pub(super) fn take(&mut self, uptime: Duration, quota: Quota, lifetime: Duration) -> Taken {
        let now = nanos(uptime);
        self.bucket.set(now, quota);
        self.live.set(now, quota, lifetime);
        let waits = [self.bucket.wait(now), self.live.wait(now)];
        // Both limits must allow the token, so the longer wait is the honest one.
        let longest = QuotaKind::ALL.into_iter().max_by_key(|kind| waits[*kind as usize]);
        let exceeded = longest.map(|kind| (kind, waits[kind as usize]));
        let exceeded = exceeded.filter(|(_, wait)| *wait > 0);
        if exceeded.is_none() {
            self.bucket.take();
            self.live.take();
        }
        let state = QuotaState { rate: self.bucket.state(now), live: self.live.state(now) };
        let reached =
            QuotaKind::ALL.map(|kind| self.told[kind as usize].reach(now, state.of(kind)));
        let exceeded = exceeded.map(|(kind, wait)| (kind, Duration::from_nanos(wait)));
        Taken { state, exceeded, reached }
    }
}

/// A token bucket as GCRA: one moment instead of a level and the time at which it was right.
#[derive(Default)]
struct Bucket {
    /// When the bucket is full again (theoretical arrival time).
    full_at: u64,
    /// Time in which one token flows in (emission interval).
    each: u64,
    burst: u32,
}

impl Bucket {
    fn set(&mut self, now: u64, quota: Quota) {
        let each = 1_000_000_000 / u64::from(quota.tokens_per_second.get());
        self.burst = quota.burst.get();
        let missing = self.full_at.saturating_sub(now);
        // At another rate the same number of tokens is missing.
        let missing = match self.each {
            0 => 0,
            before if before == each => missing,
            before => (missing / before).min(self.burst.into()) * each,
        };
        self.each = each;
        self.full_at = now + missing;
    }

    /// Time in which an empty bucket becomes full.
    fn window(&self) -> u64 {
        self.each * u64::from(self.burst)
    }

    /// How long until it has a token; 0 if it has one.
    fn wait(&self, now: u64) -> u64 {
        (self.full_at + self.each).saturating_sub(now + self.window())
    }

    fn take(&mut self) {
        self.full_at += self.each;
    }

    fn state(&self, now: u64) -> LimitState {
        let tokens = (now + self.window()).saturating_sub(self.full_at) / self.each;
        LimitState {
            limit: self.burst,
            window: Duration::from_nanos(self.window()),
            remaining: u32::try_from(tokens).unwrap_or(u32::MAX),
            reset: Duration::from_nanos(self.full_at - now),
        }
    }
}

/// Tokens issued within the last lifetime and up to a fifteenth of one before that.
///
/// While the lifetime of the client's tokens stays the same, it counts every live token that this
/// node has issued, so the ceiling is never exceeded. It also counts tokens that expired lately, at
/// most those that were issued within a fifteenth of a lifetime, so it may refuse that much too
/// early. Revoked tokens count like others, because their rows stay until they expire.
#[derive(Default)]
struct LiveTokens {
    /// Length of a slot.
    width: u64,
    /// Number of the newest slot: the time in widths.
    newest: u64,
    slots: [u32; SLOTS],
    ceiling: u32,
    lifetime: Duration,
}

impl LiveTokens {
    fn set(&mut self, now: u64, quota: Quota, lifetime: Duration) {
        self.ceiling = quota.live_tokens.get();
        let width = nanos(lifetime).div_ceil(SLOTS as u64 - 1).max(1);
        if width != self.width {
            // The lifetime was changed: keep all tokens for another lifetime.
            let all = u32::try_from(self.total()).unwrap_or(u32::MAX);
            *self = Self { width, newest: now / width, ceiling: self.ceiling, ..Self::default() };
            *self.slot(self.newest) = all;
        }
        self.lifetime = lifetime;
        let number = (now / width).max(self.newest);
        for begun in (self.newest + 1..=number).rev().take(SLOTS) {
            *self.slot(begun) = 0;
        }
        self.newest = number;
    }

    fn slot(&mut self, number: u64) -> &mut u32 {
        &mut self.slots[index(number)]
    }

    fn total(&self) -> u64 {
        self.slots.iter().copied().map(u64::from).sum()
    }

    /// How long a slot of this age, in slots, still counts.
    fn leaves_in(&self, now: u64, age: u64) -> u64 {
        ((self.newest + SLOTS as u64 - age) * self.width).saturating_sub(now)
    }

    /// How long until so many tokens have left that one more is allowed; 0 if one is.
    fn wait(&self, now: u64) -> u64 {
        let mut left = self.total();
        if left < u64::from(self.ceiling) {
            return 0;
        }
        for age in (0..SLOTS as u64).rev() {
            // Slots are numbered from 0 at the start of the machine.
            let Some(number) = self.newest.checked_sub(age) else { continue };
            left -= u64::from(self.slots[index(number)]);
            if left < u64::from(self.ceiling) {
                return self.leaves_in(now, age);
            }
        }
        self.leaves_in(now, 0)
    }

    fn take(&mut self) {
        let slot = self.slot(self.newest);
        *slot = slot.saturating_add(1);
    }

    fn state(&self, now: u64) -> LimitState {
        let total = u32::try_from(self.total()).unwrap_or(u32::MAX);
        let is_used =
            |age: &u64| self.newest.checked_sub(*age).is_some_and(|n| self.slots[index(n)] > 0);
        let last = (0..SLOTS as u64).find(is_used);
        LimitState {
            limit: self.ceiling,
            window: self.lifetime,
            remaining: self.ceiling.saturating_sub(total),
            reset: Duration::from_nanos(last.map_or(0, |age| self.leaves_in(now, age))),
        }
    }
}

/// Place of a slot.
fn index(number: u64) -> usize {
    usize::try_from(number % SLOTS as u64).unwrap_or(0)
}

/// What was reported of one limit within its window.
#[derive(Default)]
struct Told {
    /// When it is reported anew.
    until: u64,
    /// How many of the shares were reported.
    steps: usize,
}

impl Told {
    /// The largest share that is reached and was not reported in this window.
    fn reach(&mut self, now: u64, state: LimitState) -> Option<usize> {
        if now >= self.until {
            self.steps = 0;
        }
        let percent = state.percent();
        let steps = QuotaStats::PERCENTS.iter().filter(|step| percent >= **step).count();
        if steps <= self.steps {
            return None;
        }
        if self.steps == 0 {
            self.until = now + nanos(state.window.max(REPORT_WINDOW));
        }
        self.steps = steps;
        Some(steps - 1)
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
