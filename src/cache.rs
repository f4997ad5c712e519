//! This node's cache of clients and tokens, and its access to the database. The cache is asked
//! first, but only while the node holds a lease.
//!
//! Concurrent callers share SQL statements: tokens are recorded, looked up and revoked in batches,
//! because one durable statement costs about as much for a hundred tokens as for one. Callers that
//! wait for the other nodes share the wait.

mod batch_limits;
mod batcher;
mod follower;
mod foreign;
mod leased;
mod single_flight;

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

pub use self::follower::Follower;
pub(super) use self::leased::Watch;
use self::{
    batch_limits::{LOOKING_UP, RECORDING, REVOKING, SETTLING},
    batcher::Batcher,
    foreign::Presence,
    leased::{Epoch, LeasedCache},
    single_flight::SingleFlight,
};
use crate::{
    domain::{
        AccessToken, Actor, ClientId, Clock, CredentialId, Error, Lane, NodeClock, SecretId,
        StoredSecret, TagKeys, Timestamp, TokenId,
    },
    stats::{BatchStats, CacheStats},
    store::{FoundClient, FoundToken, Stores},
};

/// How long a call waits for a lease. A lease that was lost with its connection is renewed within
/// milliseconds; if the database is down, a longer wait does not help.
const LEASE_WAIT: Duration = Duration::from_millis(500);

/// Result of one look-up: the tokens that exist, each with an error if its row is unreadable.
type Found = Arc<HashMap<TokenId, Result<FoundToken, Error>>>;

/// A client, and a [`Watch`] to check later whether it has changed. `None` if it is not cached.
type Watched = (FoundClient, Option<Watch>);

/// The store behind the cache, the batchers and single flight.
pub(super) struct CachedStore {
    stores: Stores,
    local: Arc<LeasedCache>,
    recording: Batcher<AccessToken, Arc<HashSet<TokenId>>>,
    looking_up: Batcher<TokenId, Found>,
    revoking: Batcher<TokenId, ()>,
    settling: Batcher<(), ()>,
    clients: SingleFlight<(ClientId, CredentialId), Option<Watched>>,
    tokens: SingleFlight<TokenId, Option<FoundToken>>,
    foreign: Presence,
}

/// Size of the cache, and how long its entries may be used.
#[derive(Debug, Clone, Copy)]
pub struct CacheOptions {
    /// Maximum cached clients, counted once per credential. 0 turns the client cache off.
    pub clients: usize,
    /// Maximum memory for cached tokens, in bytes. 0 turns the token cache off.
    pub token_bytes: usize,
    /// Duration of a lease: how long a node may answer without hearing from the database, and how
    /// long a revocation waits for a node that died.
    pub lease: Duration,
    /// Maximum age of an entry, counted from its read. Bounds how long a missed change stays
    /// unnoticed. Rounded down to whole seconds.
    pub lifetime: Duration,
}

impl CachedStore {
    pub(super) fn new(
        stores: Stores,
        clock: Arc<dyn Clock>,
        tag_keys: TagKeys,
        options: CacheOptions,
    ) -> Self {
        let (issue, inspect) = (Arc::clone(&stores.issue), Arc::clone(&stores.inspect));
        let recording = Batcher::new(RECORDING, move |tokens: Vec<AccessToken>| {
            let store = Arc::clone(&issue);
            async move { Ok(Arc::new(store.record_tokens(&tokens).await?.into_iter().collect())) }
        });
        let looking_up = Batcher::new(LOOKING_UP, move |mut ids: Vec<TokenId>| {
            let store = Arc::clone(&inspect);
            async move {
                ids.sort_unstable();
                ids.dedup();
                Ok(Arc::new(store.find_tokens(&ids).await?.into_iter().collect()))
            }
        });
        let (inspect, now) = (Arc::clone(&stores.inspect), Arc::clone(&clock));
        let revoking = Batcher::new(REVOKING, move |ids: Vec<TokenId>| {
            let (store, now) = (Arc::clone(&inspect), now.now());
            async move { store.revoke_tokens(&ids, now).await }
        });
        let inspect = Arc::clone(&stores.inspect);
        let settling = Batcher::new(SETTLING, move |_callers: Vec<()>| {
            let store = Arc::clone(&inspect);
            async move { store.settle().await }
        });
        Self {
            stores,
            local: Arc::new(LeasedCache::new(clock, tag_keys, options)),
            recording,
            looking_up,
            revoking,
            settling,
            clients: SingleFlight::default(),
            tokens: SingleFlight::default(),
            foreign: Presence::default(),
        }
    }

    /// Statistics of the batches that record tokens, look them up, and revoke them.
    pub(super) fn stats(&self) -> [BatchStats; 3] {
        [self.recording.stats(), self.looking_up.stats(), self.revoking.stats()]
    }

    /// Whether this node may answer calls: it holds a lease, or its store needs none.
    pub(super) fn may_answer(&self) -> bool {
        self.local.is_leased() || !self.stores.inspect.needs_lease()
    }

    /// Statistics of the cache.
    pub(super) fn cache_stats(&self) -> CacheStats {
        self.local.stats()
    }

    /// The task that keeps the cache current. The caller has to run it.
    pub(super) fn follower(&self, clock: Arc<NodeClock>, lease: Duration) -> Follower {
        let store = Arc::clone(&self.stores.inspect);
        Follower { cache: Arc::clone(&self.local), store, clock, lease }
    }

    /// The current epoch; `None` if the cache cannot be used, so that the call asks the database.
    ///
    /// # Errors
    /// `Unavailable` if the store requires a lease and this node holds none.
    async fn epoch(&self) -> Result<Option<Epoch>, Error> {
        if let Some(epoch) = self.local.epoch() {
            return Ok(Some(epoch));
        }
        if !self.stores.inspect.needs_lease() {
            return Ok(None);
        }
        // Rare, like each step that is boxed here: the future of a call stays small, because it is
        // copied when the call is made.
        let epoch = Box::pin(self.local.epoch_within(LEASE_WAIT)).await;
        epoch.map(Some).ok_or_else(|| Error::unavailable("this node holds no lease"))
    }

    /// The tag keys, as fresh as everything else that this node answers from. With outdated keys it
    /// would refuse texts of a key that was adopted meanwhile, or accept those of a retired one.
    pub(super) async fn tag_keys(&self) -> Result<Arc<TagKeys>, Error> {
        // The keys are read after the lease is checked, so they are no older than the lease.
        if self.local.is_leased() || self.epoch().await?.is_some() {
            return Ok(self.local.tag_keys());
        }
        Ok(Arc::new(self.stores.inspect.installation().await?.tag_keys))
    }

    /// Finds a client, and that one of its credentials whose id is `credential`.
    pub(super) async fn find_client(
        &self,
        lane: Lane,
        client_id: &ClientId,
        credential: CredentialId,
    ) -> Result<Option<Watched>, Error> {
        let Some(epoch) = self.epoch().await? else {
            let found = self.read_client(lane, client_id, credential).await?;
            return Ok(found.map(|found| (found, None)));
        };
        if let Some((known, watch)) = self.local.client(client_id, credential) {
            return Ok(Some((known, Some(watch))));
        }
        let lookup = async {
            let found = self.read_client(lane, client_id, credential).await?;
            Ok(found.map(|found| {
                let watch = self.local.keep_client(epoch, &found);
                (found, watch)
            }))
        };
        Box::pin(self.clients.run((client_id.clone(), credential), epoch, lookup)).await
    }

    /// Reads a client from the database, bypassing the cache.
    pub(super) async fn read_client(
        &self,
        lane: Lane,
        client_id: &ClientId,
        credential: CredentialId,
    ) -> Result<Option<FoundClient>, Error> {
        self.stores.of(lane).find_client(client_id, Some(credential)).await
    }

    /// Reads a secret from the database, whatever client it belongs to.
    pub(super) async fn read_secret(&self, id: SecretId) -> Result<Option<StoredSecret>, Error> {
        self.epoch().await?;
        self.stores.inspect.secret_with_hash(id).await
    }

    /// Declares a secret leaked, durably. False if it does not exist, or if it leaked before. Other
    /// nodes have applied it after [`settle`](Self::settle).
    pub(super) async fn burn_secret(
        &self,
        id: SecretId,
        now: Timestamp,
        actor: &Actor,
    ) -> Result<bool, Error> {
        self.stores.inspect.burn_secret(id, now, actor).await
    }

    /// Whether a client is still as it was read, given every change acknowledged so far. False if
    /// that cannot be told.
    pub(super) fn is_current(&self, watch: Option<&Watch>) -> bool {
        watch.is_some_and(|watch| self.local.is_current(watch))
    }

    /// Whether this node may record tokens for administration.
    pub(super) async fn may_record_for_administration(&self) -> Result<bool, Error> {
        self.stores.issue.may_create_clients().await
    }

    /// Records a token durably: it survives a crash. False if the database refused it because its
    /// client or its credential is no longer usable.
    pub(super) async fn record(&self, token: AccessToken) -> Result<bool, Error> {
        let id = token.id;
        Ok(self.recording.submit(token).await?.contains(&id))
    }

    /// Finds a token, with everything that decides whether it is active.
    pub(super) async fn find_token(&self, id: TokenId) -> Result<Option<FoundToken>, Error> {
        let Some(epoch) = self.epoch().await? else { return self.look_up(id).await };
        if let Some(known) = self.local.token(id) {
            return Ok(Some(known));
        }
        let lookup = async {
            let found = self.look_up(id).await?;
            if let Some(found) = &found {
                self.local.keep_token(epoch, found);
            }
            Ok(found)
        };
        Box::pin(self.tokens.run(id, epoch, lookup)).await
    }

    /// Finds a token in the database, bypassing the cache.
    pub(super) async fn read_token(&self, id: TokenId) -> Result<Option<FoundToken>, Error> {
        self.epoch().await?;
        self.look_up(id).await
    }

    async fn look_up(&self, id: TokenId) -> Result<Option<FoundToken>, Error> {
        let found = self.looking_up.submit(id).await?;
        match found.get(&id) {
            None => Ok(None),
            Some(Ok(token)) => Ok(Some(token.clone())),
            Some(Err(fault)) => Err(fault.clone()),
        }
    }

    /// Waits until no node answers from data that is older than this call. Where that means asking
    /// the database again and again, callers share the questions.
    pub(super) async fn settle(&self) -> Result<(), Error> {
        if self.stores.inspect.needs_lease() {
            self.settling.submit(()).await
        } else {
            self.stores.inspect.settle().await
        }
    }

    /// Marks a token revoked, durably. Once this returns, no node reports the token as active.
    pub(super) async fn revoke(&self, id: TokenId) -> Result<(), Error> {
        self.revoking.submit(id).await?;
        self.settle().await
    }
}
