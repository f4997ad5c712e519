//! Cache of verified secrets: which presented secrets matched which stored hashes.

use std::{fmt, time::Duration};

use hmac::{Hmac, KeyInit, Mac};
use quick_cache::sync::Cache;
use sha2::Sha256;
use zeroize::Zeroizing;

use super::SecretCredentials;
use crate::{
    domain::{ClientId, Random, RandomFailed, SecretHash, Timestamp},
    stats::Count,
};

/// Keyed digest of a presented client id and secret, which are themselves not kept.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Fingerprint([u8; 32]);

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Fingerprint([redacted])")
    }
}

/// Key of the fingerprints of this process. It is random, never leaves the process and dies with
/// it, so a fingerprint is useless elsewhere.
pub(crate) struct FingerprintKey(Zeroizing<[u8; 32]>);

impl FingerprintKey {
    pub(crate) fn new(random: &dyn Random) -> Result<Self, RandomFailed> {
        let mut key = Zeroizing::new([0; 32]);
        random.fill(key.as_mut())?;
        Ok(Self(key))
    }

    /// The fingerprint of credentials. Each part is preceded by its length. Otherwise `a` + `bc`
    /// would equal `ab` + `c`, and one client's success would count for another.
    pub(crate) fn of(&self, credentials: &SecretCredentials) -> Fingerprint {
        self.of_text(&credentials.client_id, credentials.secret.expose())
    }

    /// The fingerprint of a client id with the text of a secret that it presents.
    pub(crate) fn of_text(&self, client_id: &ClientId, text: &str) -> Fingerprint {
        let mut mac = Hmac::<Sha256>::new_from_slice(self.0.as_slice())
            .expect("HMAC takes a key of any length");
        for part in [client_id.as_str(), text] {
            mac.update(&(part.len() as u64).to_be_bytes());
            mac.update(part.as_bytes());
        }
        Fingerprint(mac.finalize().into_bytes().into())
    }
}

/// Cache of recently verified secrets, so that a client pays for argon2 once and not with every
/// call. Only successes are cached, because otherwise an attacker could evict good entries with bad
/// ones. Each entry holds the hash that it matched, and counts only if the store still returns that
/// hash. So disabling, retiring, rotating and deleting take effect immediately.
pub(crate) struct VerifiedCache {
    matched: Cache<Fingerprint, (SecretHash, Timestamp)>,
    lifetime: Duration,
    pub(crate) hits: Count,
    pub(crate) misses: Count,
}

impl VerifiedCache {
    /// Holds at most `capacity` entries, each for `lifetime` after it was hashed. A `lifetime` of
    /// zero turns the cache off.
    pub(crate) fn new(capacity: usize, lifetime: Duration) -> Self {
        let (hits, misses) = (Count::default(), Count::default());
        Self { matched: Cache::new(capacity), lifetime, hits, misses }
    }

    /// The hash that these credentials matched when they were last hashed. Counts a hit or a miss.
    pub(crate) fn matched(&self, presented: &Fingerprint, now: Timestamp) -> Option<SecretHash> {
        let lately = self.matched.get(presented).filter(|(_, until)| now < *until);
        let count = if lately.is_some() { &self.hits } else { &self.misses };
        count.add_one();
        lately.map(|(hash, _)| hash)
    }

    /// Caches a match. Later hits do not extend its lifetime, so each secret is hashed again now
    /// and then.
    pub(crate) fn insert(&self, presented: Fingerprint, hash: SecretHash, now: Timestamp) {
        if !self.lifetime.is_zero() {
            self.matched.insert(presented, (hash, now.plus(self.lifetime)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{ClientSecret, OsRandom, SeededRandom, TagKey};
    use std::collections::HashSet;

    fn credentials(client_id: &str, secret: &ClientSecret) -> SecretCredentials {
        SecretCredentials {
            client_id: ClientId::parse(client_id).unwrap(),
            secret: ClientSecret::parse(secret.expose()).unwrap(),
        }
    }

    #[test]
    fn whatever_differs_gives_another_fingerprint() {
        let (key, other_key) =
            (FingerprintKey::new(&OsRandom).unwrap(), FingerprintKey::new(&OsRandom).unwrap());
        let random = SeededRandom::default();
        let tag_key = TagKey::from_bytes([1; 32]);
        let secrets = [(); 2].map(|()| ClientSecret::generate(&random, &tag_key).unwrap());
        let long = "a".repeat(128);
        let mut seen = HashSet::new();
        for client_id in ["a", "b", "ab", &long, &long[1..]] {
            for secret in &secrets {
                let credentials = credentials(client_id, secret);
                let fingerprint = key.of(&credentials);
                assert_eq!(fingerprint, key.of(&credentials));
                assert!(seen.insert(fingerprint));
                assert!(seen.insert(other_key.of(&credentials)));
            }
        }
    }

    #[test]
    fn what_was_verified_is_forgotten_at_its_end_and_at_the_bound() {
        let at = |seconds: i64| Timestamp::from_unix_micros(seconds * 1_000_000);
        let verified = VerifiedCache::new(8, Duration::from_mins(1));
        let print = |number| Fingerprint([number; 32]);
        let hash = || SecretHash::from_stored("$argon2id$x".to_owned());
        let holds = |number, now| verified.matched(&print(number), now) == Some(hash());
        assert!(!holds(0, at(0)));
        verified.insert(print(0), hash(), at(0));
        assert!(holds(0, at(59)) && !holds(0, at(60)));

        (0..=255).for_each(|number| verified.insert(print(number), hash(), at(0)));
        let kept = (0..=255).filter(|number| holds(*number, at(1))).count();
        assert!((1..=8).contains(&kept), "{kept}");

        let off = VerifiedCache::new(8, Duration::ZERO);
        off.insert(print(0), hash(), at(0));
        assert!(off.matched(&print(0), at(0)).is_none());
    }
}
