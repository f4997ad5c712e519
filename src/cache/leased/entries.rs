//! What is kept of a client, a secret and a token, packed, and when it was read.

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
        AccessToken, Client, Granted, SecretId, StoredSecret, Timestamp, TokenDigest, TokenId,
    },
    store::{FoundClient, FoundToken},
};

/// Whole seconds, in four bytes: a token has no more room.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Seconds(u32);

impl Seconds {
    /// Rounded down.
    pub(super) fn of(duration: Duration) -> Self {
        Self(u32::try_from(duration.as_secs()).unwrap_or(u32::MAX))
    }

    /// The time since an earlier moment. Both were rounded down, so this may be a second more than
    /// what has passed, rounded down.
    pub(super) const fn since(self, earlier: Self) -> Self {
        Self(self.0.saturating_sub(earlier.0))
    }

    /// Shorter by so many parts of 256 of an eighth.
    pub(super) const fn less_an_eighth_of(self, parts: u32) -> Self {
        Self(self.0 - (self.0 / 8).saturating_mul(parts) / 256)
    }
}

/// The state of the database that something is read in: each change begins a new one.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Epoch {
    pub(super) number: u64,
    /// When the read began. Reads of one state are alike, whenever that was.
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

/// A client as it was read, for as long as nothing of it or of its secrets has changed.
pub(super) struct KnownClient {
    pub(super) client: Arc<Client>,
    has_changed: AtomicBool,
}

impl KnownClient {
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

/// A client that was read, for whoever has to know whether it has changed since.
#[derive(Clone)]
pub(crate) struct Watch(pub(super) Arc<KnownClient>);

impl Watch {
    /// Whether a change of the client or of one of its secrets was applied since it was read.
    pub(super) fn has_changed(&self) -> bool {
        self.0.has_changed()
    }
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Watch")
    }
}

/// A secret as it was read, with its client.
#[derive(Clone)]
pub(super) struct KnownSecret {
    pub(super) client: Arc<KnownClient>,
    pub(super) secret: Arc<StoredSecret>,
    pub(super) read_at: Seconds,
}

impl KnownSecret {
    pub(super) fn found(self) -> (FoundClient, Watch) {
        let client = Arc::clone(&self.client.client);
        (FoundClient { client, secret: Some(self.secret) }, Watch(self.client))
    }
}

/// A token as it was read: what [`FoundToken`] holds, packed.
#[derive(Clone)]
pub(super) struct KnownToken {
    pub(super) digest: TokenDigest,
    pub(super) secret: SecretId,
    pub(super) client: Arc<KnownClient>,
    pub(super) granted: Arc<Granted>,
    pub(super) issued_at: Timestamp,
    pub(super) expires_at: Timestamp,
    pub(super) not_before: Option<Timestamp>,
    pub(super) read_at: Seconds,
    pub(super) revoked: bool,
    pub(super) secret_leaked: bool,
    pub(super) superseded: bool,
}

impl KnownToken {
    pub(super) fn found(self, id: TokenId) -> FoundToken {
        let client = Arc::clone(&self.client.client);
        FoundToken {
            token: AccessToken {
                id,
                digest: self.digest,
                client: client.key,
                secret: self.secret,
                granted: self.granted,
                issued_at: self.issued_at,
                expires_at: self.expires_at,
            },
            client,
            revoked: self.revoked,
            secret_leaked: self.secret_leaked,
            superseded: self.superseded,
            not_before: self.not_before,
        }
    }
}
