//! Cache entries of clients, credentials and tokens, packed, with the time of their read.

use std::{
    fmt,
    hash::{Hash, Hasher},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use crate::{
    domain::{
        Client, CredentialId, Granted, StoredCredential, Timestamp, TokenDigest, TokenFacts,
        TokenId,
    },
    store::{FoundClient, FoundToken},
};

/// Whole seconds in four bytes, to keep a token entry small.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Seconds(u32);

impl Seconds {
    /// The duration in whole seconds, rounded down.
    pub(super) fn of(duration: Duration) -> Self {
        Self(u32::try_from(duration.as_secs()).unwrap_or(u32::MAX))
    }

    /// The time since `earlier`. Because both were rounded down, the result may be one more than
    /// the whole seconds that have passed.
    pub(super) const fn since(self, earlier: Self) -> Self {
        Self(self.0.saturating_sub(earlier.0))
    }

    /// This duration, shortened by `parts`/256 of an eighth.
    pub(super) const fn less_an_eighth_of(self, parts: u32) -> Self {
        Self(self.0 - (self.0 / 8).saturating_mul(parts) / 256)
    }
}

/// The epoch in which a read began. Every applied change starts a new epoch.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Epoch {
    pub(super) number: u64,
    /// When the read began. Not compared: all reads of one epoch are equivalent.
    pub(super) began: Seconds,
}

impl PartialEq for Epoch {
    fn eq(&self, other: &Self) -> bool {
        self.number == other.number
    }
}

impl Eq for Epoch {}

impl Hash for Epoch {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.number.hash(state);
    }
}

/// A cached client. Valid until the client or one of its credentials changes.
pub(super) struct CachedClient {
    pub(super) client: Arc<Client>,
    has_changed: AtomicBool,
}

impl CachedClient {
    pub(super) const fn new(client: Arc<Client>) -> Self {
        Self { client, has_changed: AtomicBool::new(false) }
    }

    pub(super) fn has_changed(&self) -> bool {
        self.has_changed.load(Ordering::Acquire)
    }

    pub(super) fn change(&self) {
        self.has_changed.store(true, Ordering::Release);
    }
}

/// A handle to a client that was read, to check later whether it has changed.
#[derive(Clone)]
pub(crate) struct Watch(pub(super) Arc<CachedClient>);

impl Watch {
    /// Whether a change of the client or of one of its credentials was applied since the read.
    pub(super) fn has_changed(&self) -> bool {
        self.0.has_changed()
    }
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Watch")
    }
}

/// A cached credential, with its client.
#[derive(Clone)]
pub(super) struct CachedCredential {
    pub(super) client: Arc<CachedClient>,
    pub(super) credential: Arc<StoredCredential>,
    pub(super) read_at: Seconds,
}

impl CachedCredential {
    pub(super) fn found(self) -> (FoundClient, Watch) {
        let client = Arc::clone(&self.client.client);
        (FoundClient { client, credential: Some(self.credential) }, Watch(self.client))
    }
}

/// A cached token: the content of a [`FoundToken`], packed.
#[derive(Clone)]
pub(super) struct CachedToken {
    pub(super) digest: TokenDigest,
    pub(super) credential: CredentialId,
    pub(super) client: Arc<CachedClient>,
    pub(super) granted: Option<Arc<Granted>>,
    pub(super) issued_at: Timestamp,
    pub(super) expires_at: Timestamp,
    pub(super) not_before: Option<Timestamp>,
    pub(super) read_at: Seconds,
    pub(super) revoked: bool,
    pub(super) credential_leaked: bool,
    pub(super) superseded: bool,
}

impl CachedToken {
    pub(super) fn found(self, id: TokenId) -> FoundToken {
        let client = Arc::clone(&self.client.client);
        FoundToken {
            digest: self.digest,
            credential: self.credential,
            facts: TokenFacts {
                id,
                client,
                granted: self.granted,
                issued_at: self.issued_at,
                expires_at: self.expires_at,
                revoked: self.revoked,
                credential_leaked: self.credential_leaked,
                superseded: self.superseded,
                not_before: self.not_before,
            },
        }
    }
}
