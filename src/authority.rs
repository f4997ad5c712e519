//! The use cases on tokens: issue, introspect, revoke. Each is a list of numbered steps.

mod authenticate;
mod introspect;
mod issue;
mod revoke;

use std::{sync::Arc, time::Duration};

pub use self::{
    authenticate::AuthenticatedClient,
    introspect::{ActiveToken, Introspection},
    issue::{IssueRequest, IssuedToken},
};
use crate::{
    cache::{CacheOptions, CachedStore, Follower},
    credentials::{FingerprintKey, HashPool, Lockout, VerifiedCache},
    domain::{Error, NodeClock, Random, TagKey},
    stats::{Count, Stats},
    store::Stores,
};

/// Clients and sources whose failures are remembered.
const LOCKOUT_ENTRIES: usize = 10_000;

/// What an authority is made of.
pub struct AuthorityOptions {
    /// Where everything is kept; the schema must be up to date.
    pub stores: Stores,
    /// The time.
    pub clock: Arc<NodeClock>,
    /// The randomness.
    pub random: Arc<dyn Random>,
    /// Where secrets are hashed.
    pub hash_pool: HashPool,
    /// The most secrets that are remembered as verified.
    pub verified_capacity: usize,
    /// For how long they are; zero for not at all.
    pub verified_lifetime: Duration,
    /// How much is remembered.
    pub cache: CacheOptions,
    /// The `iss` of its tokens.
    pub issuer: String,
}

/// What the use cases work with. What it knows beside the store, it could lose at any moment.
pub struct Authority {
    cache: CachedStore,
    clock: Arc<NodeClock>,
    random: Arc<dyn Random>,
    hash_pool: HashPool,
    fingerprint_key: FingerprintKey,
    verified: VerifiedCache,
    lockout: Lockout,
    active: Count,
    inactive: Count,
    tag_key: TagKey,
    lease: Duration,
    issuer: Arc<str>,
}

impl Authority {
    /// Opens an authority.
    ///
    /// # Errors
    /// What the store and the source of randomness say.
    pub async fn open(options: AuthorityOptions) -> Result<Self, Error> {
        Ok(Self {
            tag_key: options.stores.issue.installation().await?.tag_key,
            fingerprint_key: FingerprintKey::new(options.random.as_ref())?,
            verified: VerifiedCache::new(options.verified_capacity, options.verified_lifetime),
            lockout: Lockout::new(LOCKOUT_ENTRIES),
            active: Count::default(),
            inactive: Count::default(),
            cache: CachedStore::new(
                options.stores,
                Arc::<NodeClock>::clone(&options.clock),
                options.cache,
            ),
            lease: options.cache.lease,
            clock: options.clock,
            random: options.random,
            hash_pool: options.hash_pool,
            issuer: options.issuer.into(),
        })
    }

    /// What keeps the memory true: until it runs, every call asks the database.
    #[must_use]
    pub fn follower(&self) -> Follower {
        self.cache.follower(Arc::clone(&self.clock), self.lease)
    }

    /// The time by which it answers.
    #[must_use]
    pub fn clock(&self) -> Arc<NodeClock> {
        Arc::clone(&self.clock)
    }

    /// Whether calls are answered: a lease is held, or the database needs none.
    #[must_use]
    pub fn may_answer(&self) -> bool {
        self.cache.may_answer()
    }

    /// What was counted since the start.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let [recording, looking_up] = self.cache.stats();
        Stats {
            cache: self.cache.cache_stats(),
            clock_offset: self.clock.offset(),
            recording,
            looking_up,
            hash: self.hash_pool.stats(),
            verified: self.verified.hits.get(),
            unverified: self.verified.misses.get(),
            throttled: self.lockout.refused.get(),
            active: self.active.get(),
            inactive: self.inactive.get(),
        }
    }
}
