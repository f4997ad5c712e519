//! What this node knows of clients and tokens, and its ways to the database: what it remembers is
//! asked first, and counts only while the change feed keeps it true.
//!
//! Callers share statements here: tokens are recorded and looked up in groups, because one durable
//! statement costs about as much for a hundred tokens as for one.

mod flights;
mod follow;
mod grouped;
mod memory;

use std::{collections::HashMap, sync::Arc, time::Duration};

pub use self::follow::Follower;
use self::{
    flights::Flights,
    grouped::{GroupLimits, Grouped},
    memory::Memory,
};
use super::{
    Lane, Stores,
    stats::{GroupStats, MemoryStats},
};
use crate::{
    domain::{AccessToken, Actor, ClientId, Clock, Error, SecretId, Timestamp, TokenId},
    store::{FoundClient, FoundToken},
};

/// Callers of one statement beyond which it takes longer and gains nothing.
const LARGEST: usize = 512;

/// How long a shared statement may take: less than its callers have, so that they are told.
const PATIENCE: Duration = Duration::from_secs(2);

/// A few statements at the same time keep a slow disk busy. None begins beside another before a
/// full one waits: smaller ones share the processor of the database among more commits, which at 64
/// cost it a third more for each token and recorded no more of them.
const RECORDING: GroupLimits = GroupLimits {
    waiting: 4_096,
    largest: LARGEST,
    statements: 4,
    overlap: LARGEST,
    patience: PATIENCE,
};
const LOOKING_UP: GroupLimits = GroupLimits {
    waiting: 4_096,
    largest: LARGEST,
    statements: 4,
    overlap: 16,
    patience: PATIENCE,
};

/// What one look-up found, each with whether its row could be read.
type Found = Arc<HashMap<TokenId, Result<FoundToken, Error>>>;

/// What a node knows of clients and tokens.
pub(super) struct Records {
    stores: Stores,
    memory: Arc<Memory>,
    recording: Grouped<AccessToken, ()>,
    looking_up: Grouped<TokenId, Found>,
    clients: Flights<(ClientId, SecretId), Option<FoundClient>>,
    tokens: Flights<TokenId, Option<FoundToken>>,
}

/// How much a node remembers, and for how long without word from the database.
#[derive(Debug, Clone, Copy)]
pub struct MemoryOptions {
    /// The most clients, with one secret each; zero for none.
    pub clients: usize,
    /// The most bytes for tokens; zero for none.
    pub token_bytes: usize,
    /// How long a lease lasts: what is remembered counts for so long after the database was last
    /// heard, and whoever revokes waits for so long for a node that died.
    pub lease: Duration,
}

impl Records {
    pub(super) fn new(stores: Stores, clock: Arc<dyn Clock>, options: MemoryOptions) -> Self {
        let (issue, inspect) = (Arc::clone(&stores.issue), Arc::clone(&stores.inspect));
        let recording = Grouped::new(RECORDING, move |tokens: Vec<AccessToken>| {
            let store = Arc::clone(&issue);
            async move { store.record_tokens(&tokens).await }
        });
        let looking_up = Grouped::new(LOOKING_UP, move |mut ids: Vec<TokenId>| {
            let store = Arc::clone(&inspect);
            async move {
                ids.sort_unstable();
                ids.dedup();
                Ok(Arc::new(store.find_tokens(&ids).await?.into_iter().collect()))
            }
        });
        Self {
            stores,
            memory: Arc::new(Memory::new(clock, options.clients, options.token_bytes)),
            recording,
            looking_up,
            clients: Flights::default(),
            tokens: Flights::default(),
        }
    }

    /// What was recorded and looked up in shared statements.
    pub(super) fn stats(&self) -> [GroupStats; 2] {
        [self.recording.stats(), self.looking_up.stats()]
    }

    /// How the memory stands.
    pub(super) fn memory(&self) -> MemoryStats {
        self.memory.stats()
    }

    /// What keeps the memory true; it is to be run.
    pub(super) fn follower(&self, clock: Arc<dyn Clock>, lease: Duration) -> Follower {
        let store = Arc::clone(&self.stores.inspect);
        Follower { memory: Arc::clone(&self.memory), store, clock, lease }
    }

    /// Finds a client, and the one secret that a presented text names.
    pub(super) async fn find_client(
        &self,
        lane: Lane,
        client_id: &ClientId,
        secret: SecretId,
    ) -> Result<Option<FoundClient>, Error> {
        let look = self.stores.of(lane).find_client(client_id, Some(secret));
        let Some(epoch) = self.memory.epoch() else { return look.await };
        if let Some(known) = self.memory.client(client_id, secret) {
            return Ok(Some(known));
        }
        let look = async {
            let found = look.await?;
            if let Some(found) = &found {
                self.memory.keep_client(epoch, found);
            }
            Ok(found)
        };
        self.clients.join((client_id.clone(), secret), epoch, look).await
    }

    /// Records a token durably. When this returns it survives a crash.
    pub(super) async fn record(&self, token: AccessToken) -> Result<(), Error> {
        self.recording.join(token).await
    }

    /// Finds a token with everything that decides what it is worth.
    pub(super) async fn find_token(&self, id: TokenId) -> Result<Option<FoundToken>, Error> {
        let Some(epoch) = self.memory.epoch() else { return self.look_up(id).await };
        if let Some(known) = self.memory.token(id) {
            return Ok(Some(known));
        }
        let look = async {
            let found = self.look_up(id).await?;
            if let Some(found) = &found {
                self.memory.keep_token(epoch, found);
            }
            Ok(found)
        };
        self.tokens.join(id, epoch, look).await
    }

    async fn look_up(&self, id: TokenId) -> Result<Option<FoundToken>, Error> {
        let found = self.looking_up.join(id).await?;
        match found.get(&id) {
            None => Ok(None),
            Some(Ok(token)) => Ok(Some(token.clone())),
            Some(Err(fault)) => Err(fault.again()),
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
