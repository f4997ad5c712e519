//! What this node has verified: which presented texts matched which stored hashes.

use std::{fmt, time::Duration};

use hmac::{Hmac, KeyInit, Mac};
use quick_cache::sync::Cache;
use sha2::Sha256;
use zeroize::Zeroizing;

use super::Credentials;
use crate::{
    domain::{Random, RandomFailed, SecretHash, Timestamp},
    stats::Count,
};

/// Stands for what a client presents, its id and its secret, which are not kept.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Fingerprint([u8; 32]);

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Fingerprint([redacted])")
    }
}

/// The key of the fingerprints of this process. It is random, never leaves it, and dies with it,
/// so that a fingerprint is worth nothing to anybody else.
pub(crate) struct FingerprintKey(Zeroizing<[u8; 32]>);

impl FingerprintKey {
    pub(crate) fn new(random: &dyn Random) -> Result<Self, RandomFailed> {
        let mut key = Zeroizing::new([0; 32]);
        random.fill(key.as_mut())?;
        Ok(Self(key))
    }

    /// Each part is preceded by its length: joined alone, `a` and `bc` would read like `ab` and
    /// `c`, and one client's success would be another's.
    pub(crate) fn of(&self, credentials: &Credentials) -> Fingerprint {
        let mut mac = Hmac::<Sha256>::new_from_slice(self.0.as_slice())
            .expect("HMAC takes a key of any length");
        for part in [credentials.client_id.as_str(), credentials.secret.expose()] {
            mac.update(&(part.len() as u64).to_be_bytes());
            mac.update(part.as_bytes());
        }
        Fingerprint(mac.finalize().into_bytes().into())
    }
}

/// The secrets that were verified lately, so that a caller pays for argon2 once and not with every
/// call. Successes only: what failed is hashed again, because an attacker could otherwise push good
/// entries out with bad ones. Each is remembered with the hash that it matched, and is worth
/// nothing until that hash is read from the store again: so disabling, retiring, rotating and
/// deleting take effect at once.
pub(crate) struct VerifiedCache {
    matched: Cache<Fingerprint, (SecretHash, Timestamp)>,
    lifetime: Duration,
    pub(crate) hits: Count,
    pub(crate) misses: Count,
}

impl VerifiedCache {
    /// Remembers at most this many, each for this long after it was hashed. Zero turns it off.
    pub(crate) fn new(capacity: usize, lifetime: Duration) -> Self {
        let (hits, misses) = (Count::default(), Count::default());
        Self { matched: Cache::new(capacity), lifetime, hits, misses }
    }

    /// The hash that this presented text matched when it was last hashed.
    pub(crate) fn matched(&self, presented: &Fingerprint, now: Timestamp) -> Option<SecretHash> {
        let lately = self.matched.get(presented).filter(|(_, until)| now < *until);
        let count = if lately.is_some() { &self.hits } else { &self.misses };
        count.add_one();
        lately.map(|(hash, _)| hash)
    }

    /// The end is not moved by later hits: each secret is hashed again now and then.
    pub(crate) fn insert(&self, presented: Fingerprint, hash: SecretHash, now: Timestamp) {
        if !self.lifetime.is_zero() {
            self.matched.insert(presented, (hash, now.plus(self.lifetime)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{ClientId, ClientSecret, OsRandom, SeededRandom, TagKey};
    use std::collections::HashSet;

    fn credentials(client_id: &str, secret: &ClientSecret) -> Credentials {
        Credentials {
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
