//! What this node knows of clients and tokens, and its ways to the database: what it remembers is
//! asked first, and counts only while the change feed keeps it true.
//!
//! Callers share statements here: tokens are recorded and looked up in groups, because one durable
//! statement costs about as much for a hundred tokens as for one.

mod batcher;
mod follower;
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
    batcher::{BatchLimits, Batcher},
    leased::{Epoch, LeasedCache},
    single_flight::SingleFlight,
};
use crate::{
    domain::{
        AccessToken, Actor, ClientId, Clock, Error, Lane, NodeClock, SecretId, Timestamp, TokenId,
    },
    stats::{BatchStats, CacheStats},
    store::{FoundClient, FoundToken, Stores},
};

/// Callers of one statement beyond which it takes longer and gains nothing.
const LARGEST: usize = 512;

/// How long a shared statement may take: less than its callers have, so that they are told.
const PATIENCE: Duration = Duration::from_secs(2);

/// How long a call waits for a lease. One that was lost with its connection is had again within
/// milliseconds; a database that is away is not worth more.
const LEASE_WAIT: Duration = Duration::from_millis(500);

/// A few statements at the same time keep a slow disk busy. None begins beside another before a
/// full one waits: smaller ones share the processor of the database among more commits, which at 64
/// cost it a third more for each token and recorded no more of them.
const RECORDING: BatchLimits = BatchLimits {
    waiting: 4_096,
    largest: LARGEST,
    statements: 4,
    overlap: LARGEST,
    patience: PATIENCE,
};
const LOOKING_UP: BatchLimits = BatchLimits {
    waiting: 4_096,
    largest: LARGEST,
    statements: 4,
    overlap: 16,
    patience: PATIENCE,
};

/// What one look-up found, each with whether its row could be read.
type Found = Arc<HashMap<TokenId, Result<FoundToken, Error>>>;

/// A client that was found, and what tells whether it has changed since; none where nothing tells.
type Watched = (FoundClient, Option<Watch>);

/// What a node knows of clients and tokens.
pub(super) struct CachedStore {
    stores: Stores,
    local: Arc<LeasedCache>,
    recording: Batcher<AccessToken, Arc<HashSet<TokenId>>>,
    looking_up: Batcher<TokenId, Found>,
    clients: SingleFlight<(ClientId, SecretId), Option<Watched>>,
    tokens: SingleFlight<TokenId, Option<FoundToken>>,
}

/// How much a node remembers, and for how long without word from the database.
#[derive(Debug, Clone, Copy)]
pub struct CacheOptions {
    /// The most clients, with one secret each; zero for none.
    pub clients: usize,
    /// The most bytes for tokens; zero for none.
    pub token_bytes: usize,
    /// How long a lease lasts: what is remembered counts for so long after the database was last
    /// heard, and whoever revokes waits for so long for a node that died.
    pub lease: Duration,
    /// How long after it was read an entry counts, so that a change that was missed does not count
    /// for ever. Rounded down to whole seconds.
    pub lifetime: Duration,
}

impl CachedStore {
    pub(super) fn new(stores: Stores, clock: Arc<dyn Clock>, options: CacheOptions) -> Self {
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
        Self {
            stores,
            local: Arc::new(LeasedCache::new(clock, options)),
            recording,
            looking_up,
            clients: SingleFlight::default(),
            tokens: SingleFlight::default(),
        }
    }

    /// What was recorded and looked up in shared statements.
    pub(super) fn stats(&self) -> [BatchStats; 2] {
        [self.recording.stats(), self.looking_up.stats()]
    }

    /// Whether calls are answered: a lease is held, or none is needed.
    pub(super) fn may_answer(&self) -> bool {
        self.local.is_leased() || !self.stores.inspect.needs_lease()
    }

    /// How the memory stands.
    pub(super) fn cache_stats(&self) -> CacheStats {
        self.local.stats()
    }

    /// What keeps the memory true; it is to be run.
    pub(super) fn follower(&self, clock: Arc<NodeClock>, lease: Duration) -> Follower {
        let store = Arc::clone(&self.stores.inspect);
        Follower { cache: Arc::clone(&self.local), store, clock, lease }
    }

    /// The state of the database that is remembered; none where every call asks the database.
    ///
    /// # Errors
    /// `Unavailable` where nothing may be read without a lease, and there is none.
    async fn epoch(&self) -> Result<Option<Epoch>, Error> {
        if let Some(epoch) = self.local.epoch() {
            return Ok(Some(epoch));
        }
        if !self.stores.inspect.needs_lease() {
            return Ok(None);
        }
        let epoch = self.local.epoch_within(LEASE_WAIT).await;
        epoch.map(Some).ok_or_else(|| Error::unavailable("this node holds no lease"))
    }

    /// Finds a client, and the one secret that a presented text names.
    pub(super) async fn find_client(
        &self,
        lane: Lane,
        client_id: &ClientId,
        secret: SecretId,
    ) -> Result<Option<Watched>, Error> {
        let Some(epoch) = self.epoch().await? else {
            let found = self.read_client(lane, client_id, secret).await?;
            return Ok(found.map(|found| (found, None)));
        };
        if let Some((known, watch)) = self.local.client(client_id, secret) {
            return Ok(Some((known, Some(watch))));
        }
        let lookup = async {
            let found = self.read_client(lane, client_id, secret).await?;
            Ok(found.map(|found| {
                let watch = self.local.keep_client(epoch, &found);
                (found, watch)
            }))
        };
        self.clients.run((client_id.clone(), secret), epoch, lookup).await
    }

    /// Reads a client from the database, whatever is remembered of it.
    pub(super) async fn read_client(
        &self,
        lane: Lane,
        client_id: &ClientId,
        secret: SecretId,
    ) -> Result<Option<FoundClient>, Error> {
        self.stores.of(lane).find_client(client_id, Some(secret)).await
    }

    /// Whether nothing that was acknowledged until now has changed what was read of a client. False
    /// where that is not known.
    pub(super) fn is_current(&self, watch: Option<&Watch>) -> bool {
        watch.is_some_and(|watch| self.local.is_current(watch))
    }

    /// Records a token durably: it survives a crash. False if the database refused it, because its
    /// client or its secret was taken out of use.
    pub(super) async fn record(&self, token: AccessToken) -> Result<bool, Error> {
        let id = token.id;
        Ok(self.recording.submit(token).await?.contains(&id))
    }

    /// Finds a token with everything that decides what it is worth.
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
        self.tokens.run(id, epoch, lookup).await
    }

    async fn look_up(&self, id: TokenId) -> Result<Option<FoundToken>, Error> {
        let found = self.looking_up.submit(id).await?;
        match found.get(&id) {
            None => Ok(None),
            Some(Ok(token)) => Ok(Some(token.clone())),
            Some(Err(fault)) => Err(fault.clone()),
        }
    }

    /// Returns when no node goes by what was true before.
    pub(super) async fn settle(&self) -> Result<(), Error> {
        self.stores.inspect.settle().await
    }

    /// Marks a token revoked, durably. When this returns no node takes it for alive.
    pub(super) async fn revoke(
        &self,
        id: TokenId,
        now: Timestamp,
        keep_until: Timestamp,
        actor: &Actor,
    ) -> Result<(), Error> {
        self.stores.inspect.revoke_token(id, now, keep_until, actor).await
    }
}
