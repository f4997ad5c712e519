//! The use cases on tokens: issue, introspect, revoke. Each is a list of numbered steps.

mod authenticate;
mod failures;
mod hash_pool;
mod hash_queue;
mod introspect;
mod issue;
mod records;
mod revoke;
mod stats;
mod verified;

use std::{sync::Arc, time::Duration};

pub use self::{
    authenticate::{AuthenticatedClient, Credentials},
    hash_pool::{HashPool, HashPoolOptions},
    introspect::{ActiveToken, Introspection},
    issue::{IssueRequest, IssuedToken},
    records::{Follower, MemoryOptions},
    stats::{GroupStats, HashStats, HashTimes, MemoryStats, Stats},
};
use self::{
    failures::Failures,
    records::Records,
    stats::Count,
    verified::{FingerprintKey, Verified},
};
use crate::{
    domain::{Error, NodeClock, Random, TagKey},
    store::Stores,
};

/// Clients and sources whose failures are remembered.
const REMEMBERED_FAILURES: usize = 10_000;

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
    pub memory: MemoryOptions,
    /// The `iss` of its tokens.
    pub issuer: String,
}

/// What the use cases work with. What it knows beside the store, it could lose at any moment.
pub struct Authority {
    records: Records,
    clock: Arc<NodeClock>,
    random: Arc<dyn Random>,
    hash_pool: HashPool,
    fingerprint_key: FingerprintKey,
    verified: Verified,
    failures: Failures,
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
            verified: Verified::new(options.verified_capacity, options.verified_lifetime),
            failures: Failures::new(REMEMBERED_FAILURES),
            active: Count::default(),
            inactive: Count::default(),
            records: Records::new(
                options.stores,
                Arc::<NodeClock>::clone(&options.clock),
                options.memory,
            ),
            lease: options.memory.lease,
            clock: options.clock,
            random: options.random,
            hash_pool: options.hash_pool,
            issuer: options.issuer.into(),
        })
    }

    /// What keeps the memory true: until it runs, every call asks the database.
    #[must_use]
    pub fn follower(&self) -> Follower {
        self.records.follower(Arc::clone(&self.clock), self.lease)
    }

    /// The time by which it answers.
    #[must_use]
    pub fn clock(&self) -> Arc<NodeClock> {
        Arc::clone(&self.clock)
    }

    /// Whether calls are answered: a lease is held, or the database needs none.
    #[must_use]
    pub fn may_answer(&self) -> bool {
        self.records.may_answer()
    }

    /// What was counted since the start.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let [recording, looking_up] = self.records.stats();
        Stats {
            memory: self.records.memory(),
            clock_offset: self.clock.offset(),
            recording,
            looking_up,
            hash: self.hash_pool.stats(),
            verified: self.verified.hits.get(),
            unverified: self.verified.misses.get(),
            throttled: self.failures.refused.get(),
            active: self.active.get(),
            inactive: self.inactive.get(),
        }
    }
}
