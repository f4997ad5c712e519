//! What this node knows of clients and tokens, and its ways to the database.
//!
//! Callers share statements here: tokens are recorded and looked up in groups, because one durable
//! statement costs about as much for a hundred tokens as for one.

mod grouped;

use std::{collections::HashMap, sync::Arc, time::Duration};

use self::grouped::{GroupLimits, Grouped};
use super::{Lane, Stores, stats::GroupStats};
use crate::{
    domain::{AccessToken, ClientId, Error, SecretId, Timestamp, TokenId},
    store::{FoundClient, FoundToken},
};

/// Callers of one statement beyond which it takes longer and gains nothing.
const LARGEST: usize = 512;

/// How long a shared statement may take: less than its callers have, so that they are told.
const PATIENCE: Duration = Duration::from_secs(2);

/// A few statements at the same time keep the disk busy while the next one is being made.
const RECORDING: GroupLimits = GroupLimits {
    waiting: 4_096,
    largest: LARGEST,
    statements: 4,
    overlap: 64,
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
    recording: Grouped<AccessToken, ()>,
    looking_up: Grouped<TokenId, Found>,
}

impl Records {
    pub(super) fn new(stores: Stores) -> Self {
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
        Self { stores, recording, looking_up }
    }

    /// What was recorded and looked up in shared statements.
    pub(super) fn stats(&self) -> [GroupStats; 2] {
        [self.recording.stats(), self.looking_up.stats()]
    }

    /// Finds a client, and the one secret that a presented text names.
    pub(super) async fn find_client(
        &self,
        lane: Lane,
        client_id: &ClientId,
        secret: SecretId,
    ) -> Result<Option<FoundClient>, Error> {
        self.stores.of(lane).find_client(client_id, Some(secret)).await
    }

    /// Records a token durably. When this returns it survives a crash.
    pub(super) async fn record(&self, token: AccessToken) -> Result<(), Error> {
        self.recording.join(token).await
    }

    /// Finds a token with everything that decides what it is worth.
    pub(super) async fn find_token(&self, id: TokenId) -> Result<Option<FoundToken>, Error> {
        let found = self.looking_up.join(id).await?;
        match found.get(&id) {
            None => Ok(None),
            Some(Ok(token)) => Ok(Some(token.clone())),
            Some(Err(fault)) => Err(fault.again()),
        }
    }

    /// Marks a token revoked, durably.
    pub(super) async fn revoke(
        &self,
        id: TokenId,
        now: Timestamp,
        keep_until: Timestamp,
    ) -> Result<(), Error> {
        self.stores.inspect.revoke_token(id, now, keep_until).await
    }
}
