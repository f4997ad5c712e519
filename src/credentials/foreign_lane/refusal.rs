//! What a refusal of a foreign secret costs. Clients have hashes of different kinds, and most have
//! none, so a refusal that took the time of its own hashes would tell which clients were imported.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use crate::domain::{ForeignSecret, HashCostCap, HashMemory, Malformed, SecretHash};

/// The dearest comparison so far. It is computed for clients without a hash, and the refusals of
/// all others take as long.
pub(super) struct Refusal(Mutex<Dearest>);

struct Dearest {
    hashes: Vec<SecretHash>,
    /// Recent average time of a comparison with them.
    took: Duration,
}

impl Refusal {
    /// Begins with the hash of no client, which took so long.
    pub(super) fn new(dummy: SecretHash, took: Duration) -> Self {
        Self(Mutex::new(Dearest { hashes: vec![dummy], took }))
    }

    /// How long a refusal takes, at least.
    pub(super) fn time(&self) -> Duration {
        self.lock().took
    }

    /// Position of the first of `hashes` that is a hash of `secret`, and of those before it that
    /// cannot be used, with the reasons. Without any, the dearest are computed and their outcome is
    /// ignored.
    pub(super) fn first_match(
        &self,
        secret: &ForeignSecret,
        hashes: &[SecretHash],
        cap: HashCostCap,
        memory: &mut HashMemory,
    ) -> (Option<usize>, Vec<(usize, Malformed)>) {
        let dearest = self.lock().hashes.clone();
        let computed = if hashes.is_empty() { &dearest[..] } else { hashes };
        let began = Instant::now();
        let (index, unusable) = first_match(secret, computed, cap, memory);
        if index.is_none() && unusable.is_empty() {
            self.learn(computed, began.elapsed());
        }
        if hashes.is_empty() { (None, Vec::new()) } else { (index, unusable) }
    }

    /// An average follows a change within a few comparisons: one that was held up by chance costs
    /// the others time for as long.
    fn learn(&self, hashes: &[SecretHash], took: Duration) {
        let mut dearest = self.lock();
        if dearest.hashes == hashes {
            dearest.took = (dearest.took * 3 + took) / 4;
        } else if took > dearest.took {
            *dearest = Dearest { hashes: hashes.to_vec(), took };
        }
    }

    /// Nothing under the lock panics, so it cannot be poisoned.
    fn lock(&self) -> MutexGuard<'_, Dearest> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn first_match(
    secret: &ForeignSecret,
    hashes: &[SecretHash],
    cap: HashCostCap,
    memory: &mut HashMemory,
) -> (Option<usize>, Vec<(usize, Malformed)>) {
    let mut unusable = Vec::new();
    for (index, hash) in hashes.iter().enumerate() {
        // A row edited by hand could cause a panic.
        let verified = catch_unwind(AssertUnwindSafe(|| hash.verify_foreign(secret, cap, memory)));
        match verified.unwrap_or(Err(Malformed("the stored hash cannot be computed"))) {
            Ok(true) => return (Some(index), unusable),
            Ok(false) => {}
            Err(why) => unusable.push((index, why)),
        }
    }
    (None, unusable)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::HashCost;

    const TEXT: &str = "a secret from elsewhere";
    const BCRYPT: &str = "$2b$04$abcdefghijklmnopqrstuurv9WxoE/rc/7N6hITQQm7Q4paPVzvXG";
    const PBKDF2: &str = "$pbkdf2-sha256$i=1000,l=32$c2FsdC1vZi1zaXh0ZWVuIQ$q0y+vG3m+1m5H95UBY8pr\
                          dBjW77s6hPTw1+r3XDe3R0";

    fn hash(text: &str) -> SecretHash {
        SecretHash::from_stored(text.to_owned())
    }

    fn compare(refusal: &Refusal, text: &str, hashes: &[SecretHash]) -> Option<usize> {
        let secret = ForeignSecret::parse(text).unwrap();
        let cap = HashCostCap(HashCost::DEFAULT);
        refusal.first_match(&secret, hashes, cap, &mut HashMemory::default()).0
    }

    fn computed_for_unknown(refusal: &Refusal) -> Vec<SecretHash> {
        refusal.lock().hashes.clone()
    }

    #[test]
    fn an_unknown_client_costs_the_dearest_comparison_so_far() {
        let refusal = Refusal::new(hash(BCRYPT), Duration::ZERO);
        let dear = [hash(PBKDF2), hash(PBKDF2)];
        assert_eq!(compare(&refusal, "something else", &dear), None);
        assert_eq!(computed_for_unknown(&refusal), dear);
        refusal.lock().took = Duration::from_hours(1);
        assert_eq!(compare(&refusal, "something else", &[hash(BCRYPT)]), None);
        assert_eq!(computed_for_unknown(&refusal), dear, "a cheaper one changes nothing");
        assert_eq!(refusal.time(), Duration::from_hours(1));
        assert_eq!(compare(&refusal, "something else", &[]), None);
        let took = refusal.time();
        assert!(took < Duration::from_hours(1), "it was computed, and measured again: {took:?}");
        assert_eq!(computed_for_unknown(&refusal), dear);
        assert_eq!(compare(&refusal, TEXT, &[]), None, "the outcome of the dummy is ignored");
    }

    #[test]
    fn what_matches_or_cannot_be_used_says_nothing_about_the_cost() {
        let refusal = Refusal::new(hash(BCRYPT), Duration::ZERO);
        assert_eq!(compare(&refusal, TEXT, &[hash(PBKDF2)]), Some(0));
        assert_eq!(compare(&refusal, "something else", &[hash("$2b$broken")]), None);
        assert_eq!(computed_for_unknown(&refusal), [hash(BCRYPT)]);
    }
}
