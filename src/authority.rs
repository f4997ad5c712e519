//! Token use cases: issue, introspect and revoke; and reports of leaked secrets. Each function is a
//! list of numbered steps.

mod administrator;
mod authenticate;
mod foreign;
mod introspect;
mod issue;
mod quota;
mod report;
mod revoke;

use std::{sync::Arc, time::Duration};

pub use self::{
    administrator::Administrator,
    authenticate::AuthenticatedClient,
    introspect::{ActiveToken, Introspection},
    issue::IssuedToken,
    quota::QuotaOptions,
};
use self::{quota::Quotas, report::Reports};
use crate::{
    cache::{CacheOptions, CachedStore, Follower},
    credentials::{FingerprintKey, HashPool, KnownForeign, Lockout, Uses, VerifiedCache},
    domain::{Clock, Error, NodeClock, Random},
    stats::{Count, Stats},
    store::Stores,
};

/// Capacity of the lockout: pairs of client id and secret whose failures are counted, and as many
/// pairs of client id and source for secrets of other systems.
const LOCKOUT_ENTRIES: usize = 10_000;

/// Dependencies and limits of an [`Authority`].
pub struct AuthorityOptions {
    /// Database of each lane; the schema must be up to date.
    pub stores: Stores,
    /// Clock of the node: the time of its database.
    pub clock: Arc<NodeClock>,
    /// Source of randomness for tokens and for the key of the verified-secret cache.
    pub random: Arc<dyn Random>,
    /// Threads that compute argon2 hashes, with the queue before them.
    pub hash_pool: HashPool,
    /// Capacity of the verified-secret cache, in secrets.
    pub verified_capacity: usize,
    /// Lifetime of an entry in that cache; zero turns it off.
    pub verified_lifetime: Duration,
    /// Size, entry lifetime and lease of the cache of clients and tokens.
    pub cache: CacheOptions,
    /// Limits on issuing tokens to a client.
    pub quota: QuotaOptions,
    /// Issuer identifier, which introspection returns as `iss`.
    pub issuer: String,
}

/// Implements the token use cases. Everything it holds outside the store may be lost at any moment.
pub struct Authority {
    cache: CachedStore,
    clock: Arc<NodeClock>,
    random: Arc<dyn Random>,
    hash_pool: HashPool,
    fingerprint_key: FingerprintKey,
    verified: VerifiedCache,
    lockout: Lockout,
    known_foreign: KnownForeign,
    foreign_lockout: Lockout,
    uses: Arc<Uses>,
    quotas: Quotas,
    reports: Reports,
    active: Count,
    inactive: Count,
    lease: Duration,
    issuer: Arc<str>,
}

impl Authority {
    /// Reads the installation's tag keys from the store and builds an authority.
    ///
    /// # Errors
    /// Errors of the store and of the source of randomness.
    pub async fn open(options: AuthorityOptions) -> Result<Self, Error> {
        let tag_keys = options.stores.issue.installation().await?.tag_keys;
        Ok(Self {
            fingerprint_key: FingerprintKey::new(options.random.as_ref())?,
            verified: VerifiedCache::new(options.verified_capacity, options.verified_lifetime),
            lockout: Lockout::new(LOCKOUT_ENTRIES),
            known_foreign: KnownForeign::new(options.verified_capacity),
            foreign_lockout: Lockout::new(LOCKOUT_ENTRIES),
            uses: Arc::default(),
            quotas: Quotas::new(options.quota),
            reports: Reports::default(),
            active: Count::default(),
            inactive: Count::default(),
            cache: CachedStore::new(
                options.stores,
                Arc::<NodeClock>::clone(&options.clock),
                tag_keys,
                options.cache,
            ),
            lease: options.cache.lease,
            clock: options.clock,
            random: options.random,
            hash_pool: options.hash_pool,
            issuer: options.issuer.into(),
        })
    }

    /// The task that follows the change feed and renews the lease. Until it runs, the cache is not
    /// used: calls read the database on SQLite, and fail on Postgres, which requires a lease.
    #[must_use]
    pub fn follower(&self) -> Follower {
        self.cache.follower(Arc::clone(&self.clock), self.lease)
    }

    /// Clock of the node, which decides when tokens and secrets expire.
    #[must_use]
    pub fn clock(&self) -> Arc<NodeClock> {
        Arc::clone(&self.clock)
    }

    /// Uses of secrets that were counted, which the node has to write down.
    #[must_use]
    pub fn uses(&self) -> Arc<Uses> {
        Arc::clone(&self.uses)
    }

    /// Whether calls can be answered: this node holds a lease, or the database needs none.
    #[must_use]
    pub fn may_answer(&self) -> bool {
        self.cache.may_answer()
    }

    /// Counters since the start of the process, and the current state of queues and cache.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let [recording, looking_up, revoking] = self.cache.stats();
        Stats {
            may_answer: self.may_answer(),
            cache: self.cache.cache_stats(),
            clock_offset: self.clock.offset(),
            recording,
            looking_up,
            revoking,
            hash: self.hash_pool.stats(),
            verified: self.verified.hits.get(),
            unverified: self.verified.misses.get(),
            throttled: self.lockout.refused.get() + self.foreign_lockout.refused.get(),
            secret_uses: self.uses.stats(),
            quota: self.quotas.stats(),
            evidence_age: self.uses.age(self.clock.uptime()),
            active: self.active.get(),
            inactive: self.inactive.get(),
        }
    }
}
