//! Clients and tokens as a node remembers them.

use std::{
    fmt,
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, Ordering},
    },
};

use crate::{
    domain::{AccessToken, Client, Granted, SecretId, Timestamp, TokenDigest, TokenId},
    store::FoundToken,
};

/// A client as it was read, for as long as nothing of it or of its secrets has changed.
pub(super) struct KnownClient {
    pub(super) client: Arc<Client>,
    has_changed: AtomicBool,
}

impl KnownClient {
    pub(super) const fn new(client: Arc<Client>) -> Self {
        Self { client, has_changed: AtomicBool::new(false) }
    }

    /// Whether a change of it, or of one of its secrets, was applied since it was read.
    pub(super) fn has_changed(&self) -> bool {
        self.has_changed.load(Ordering::Acquire)
    }

    pub(super) fn changed(known: &Weak<Self>) {
        if let Some(known) = known.upgrade() {
            known.has_changed.store(true, Ordering::Release);
        }
    }
}

/// A client that was read, for whoever has to know whether it has changed since.
#[derive(Clone)]
pub(in crate::authority) struct Watch(pub(super) Arc<KnownClient>);

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
    pub(super) revoked: bool,
    pub(super) secret_burnt: bool,
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
            secret_burnt: self.secret_burnt,
            superseded: self.superseded,
            not_before: self.not_before,
        }
    }
}
