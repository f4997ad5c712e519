//! Lockout: refuses a client id with one secret after repeated failures, with exponential back-off.
//!
//! Failures are counted for each presented client id *and* secret. A guesser has only texts that
//! this installation once made and gave to it, because the tag of any other text is wrong. So it
//! locks out its own text and never that of the client, even from the address of the client: behind
//! a proxy, a shim or NAT all callers have one address.

use std::time::Duration;

use quick_cache::sync::Cache;

use crate::domain::{ClientId, Error, SecretId, Timestamp};
use crate::stats::Count;

/// Number of failures without a wait: a deployment that rolls out a new secret fails now and then.
const FREE: u32 = 5;

/// The wait after the first failure beyond `FREE`. It doubles with each further failure.
const FIRST_WAIT: Duration = Duration::from_millis(250);

/// Maximum wait. If the next failure comes this long after a wait is over, counting starts anew.
const LONGEST_WAIT: Duration = Duration::from_mins(1);

/// How often the refusal of one secret is logged.
const LOG_INTERVAL: Duration = Duration::from_secs(1);

/// The client id is the presented one, registered or not, so that a refusal reveals nothing about
/// clients.
type Key = (ClientId, SecretId);

#[derive(Clone, Copy)]
struct Streak {
    times: u32,
    until: Timestamp,
}

/// The recent failures on this node.
pub(crate) struct Lockout {
    lately: Cache<Key, Streak>,
    /// When each secret failed last, with any client id.
    failed: Cache<SecretId, Timestamp>,
    /// When the refusal of each secret was logged last.
    logged: Cache<SecretId, Timestamp>,
    /// Number of refused requests.
    pub(crate) refused: Count,
}

impl Lockout {
    /// Counts failures of at most `capacity` client ids and secrets; the least used are evicted
    /// first.
    pub(crate) fn new(capacity: usize) -> Self {
        Self {
            lately: Cache::new(capacity),
            failed: Cache::new(capacity),
            logged: Cache::new(capacity),
            refused: Count::default(),
        }
    }

    /// Refuses a client id and secret that have to wait.
    ///
    /// # Errors
    /// `TooManyRequests`, whether or not the client exists and has this secret.
    pub(crate) fn check(
        &self,
        client_id: &ClientId,
        secret: SecretId,
        now: Timestamp,
    ) -> Result<(), Error> {
        let failed = self.lately.get(&(client_id.clone(), secret));
        let wait = failed.map_or(Duration::ZERO, |failed| failed.until.since(now));
        // A clock that was set back must not make a caller wait for hours.
        if wait.is_zero() || wait > LONGEST_WAIT {
            return Ok(());
        }
        self.refused.add_one();
        Err(Error::too_many_failures(wait))
    }

    /// Whether this secret failed within the last minute, with any client id. An old secret fails
    /// each time.
    pub(crate) fn is_suspect(&self, secret: SecretId, now: Timestamp) -> bool {
        self.failed.get(&secret).is_some_and(|at| now.since(at) < LONGEST_WAIT)
    }

    /// Whether the refusal of this secret is to be logged now: once per `LOG_INTERVAL` for each, so
    /// that a flood does not fill the log.
    pub(crate) fn is_to_be_logged(&self, secret: SecretId, now: Timestamp) -> bool {
        let is_new = self.logged.get(&secret).is_none_or(|at| now.since(at) >= LOG_INTERVAL);
        if is_new {
            self.logged.insert(secret, now);
        }
        is_new
    }

    /// Counts one failure.
    pub(crate) fn record(&self, client_id: &ClientId, secret: SecretId, now: Timestamp) {
        let key = (client_id.clone(), secret);
        let lately = self.lately.get(&key).filter(|last| now.since(last.until) < LONGEST_WAIT);
        let times = lately.map_or(0, |last| last.times).saturating_add(1);
        let doublings = times.saturating_sub(FREE);
        let wait = match doublings {
            0 => Duration::ZERO,
            _ => FIRST_WAIT.saturating_mul(1 << (doublings - 1).min(16)).min(LONGEST_WAIT),
        };
        self.lately.insert(key, Streak { times, until: now.plus(wait) });
        self.failed.insert(secret, now);
    }

    /// Clears the failures of a client id and secret that succeeded.
    pub(crate) fn forget(&self, client_id: &ClientId, secret: SecretId) {
        self.lately.remove(&(client_id.clone(), secret));
        self.failed.remove(&secret);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_unix_micros(millis * 1_000)
    }

    fn client(name: &str) -> ClientId {
        ClientId::parse(name).unwrap()
    }

    const ONE: SecretId = SecretId(Uuid::from_u128(1));
    const OTHER: SecretId = SecretId(Uuid::from_u128(2));

    #[test]
    fn each_failure_doubles_the_wait_up_to_a_bound_and_a_rest_forgives() {
        let lockout = Lockout::new(8);
        let orders = client("orders");
        let mut waits = Vec::new();
        let mut now = 0;
        for _ in 0..20 {
            lockout.record(&orders, ONE, at(now));
            waits.push(match lockout.check(&orders, ONE, at(now)) {
                Err(Error::TooManyRequests { retry_after, .. }) => retry_after.as_millis(),
                _ => 0,
            });
            now += i64::try_from(waits[waits.len() - 1]).unwrap();
            assert!(lockout.check(&orders, ONE, at(now)).is_ok(), "the wait is over");
        }
        assert_eq!(waits[..8], [0, 0, 0, 0, 0, 250, 500, 1_000]);
        assert_eq!(waits[19], 60_000);
        lockout.record(&orders, ONE, at(now + 60_000));
        assert!(lockout.check(&orders, ONE, at(now + 60_000)).is_ok(), "counting starts anew");
    }

    #[test]
    fn others_are_not_concerned_and_a_success_forgives() {
        let lockout = Lockout::new(8);
        let orders = client("orders");
        (0..9).for_each(|_| lockout.record(&orders, ONE, at(0)));
        assert!(lockout.check(&orders, ONE, at(0)).is_err());
        assert!(lockout.check(&orders, OTHER, at(0)).is_ok(), "the secret of the client");
        assert!(lockout.check(&client("stock"), ONE, at(0)).is_ok(), "another client");
        lockout.forget(&orders, ONE);
        assert!(lockout.check(&orders, ONE, at(0)).is_ok());
    }

    #[test]
    fn a_flood_of_names_is_bounded() {
        let lockout = Lockout::new(64);
        for number in 0..10_000 {
            lockout.record(&client(&format!("c{number}")), ONE, at(0));
        }
        assert!(lockout.lately.len() <= 64);
    }
}
