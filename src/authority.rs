//! The use cases on tokens: issue, introspect, revoke. Each is a list of numbered steps.

mod authenticate;
mod hash_pool;
mod introspect;
mod issue;
mod revoke;

use std::sync::Arc;

pub use self::{
    authenticate::{AuthenticatedClient, Credentials},
    hash_pool::{HashPool, HashPoolOptions},
    introspect::{ActiveToken, Introspection},
    issue::{IssueRequest, IssuedToken},
};
use crate::{
    domain::{Clock, Error, Random, TagKey},
    store::Store,
};

/// What the use cases work with. It holds no state of its own: what it knows is in the store.
pub struct Authority {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
    hash_pool: HashPool,
    tag_key: TagKey,
    issuer: String,
}

impl Authority {
    /// An authority on a store whose schema is up to date. `issuer` is the `iss` of its tokens.
    pub async fn open(
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
        random: Arc<dyn Random>,
        hash_pool: HashPool,
        issuer: String,
    ) -> Result<Self, Error> {
        let tag_key = store.installation().await?.tag_key;
        Ok(Self { store, clock, random, hash_pool, tag_key, issuer })
    }
}
