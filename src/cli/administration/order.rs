//! A secret to be made, and what comes of it.

use std::time::Duration;

use crate::{
    config::{NewSecrets, SecretLifetime},
    domain::{Client, ClientSecret, Timestamp},
    pb::v1,
    registry::NewSecret,
};

/// A secret to be made. Unless the command names a lifetime, the policy of the place applies: on a
/// database that of the command, on a node its own.
#[derive(Debug)]
pub(in crate::cli) struct SecretOrder {
    pub(in crate::cli) label: String,
    pub(in crate::cli) lifetime: Option<SecretLifetime>,
    pub(in crate::cli) policy: NewSecrets,
}

/// A new secret.
pub(in crate::cli) struct Created {
    pub(in crate::cli) secret: ClientSecret,
    pub(in crate::cli) expires_at: Option<Timestamp>,
}

/// A new client with its first secret.
pub(in crate::cli) struct CreatedClient {
    pub(in crate::cli) client: Client,
    pub(in crate::cli) first: Created,
}

impl SecretOrder {
    /// The order as the registry takes it.
    pub(super) fn at(self, now: Timestamp) -> NewSecret {
        let expires_at = self.policy.expiry(self.lifetime, now);
        NewSecret { label: self.label, expires_at }
    }

    /// The order as a node takes it.
    pub(super) fn message(self) -> v1::NewSecret {
        let start = Timestamp::from_unix_micros(0);
        let end = self.lifetime.map(|asked| self.policy.expiry(Some(asked), start));
        v1::NewSecret {
            label: self.label,
            expires_in: end.flatten().map(|end| super::message::duration(end.since(start))),
            never_expires: end == Some(None),
        }
    }
}

/// Rounds up to whole seconds, which is what a node takes.
pub(super) fn whole_seconds(duration: Duration) -> Duration {
    let more = u64::from(duration.subsec_nanos() > 0);
    Duration::from_secs(duration.as_secs().saturating_add(more))
}
