//! The error type of the client use cases.

use std::net::IpAddr;

use uuid::Uuid;

use crate::{
    domain::{
        Cause, ClientId, Error, MAX_LIVE_SECRETS, Malformed, RandomFailed, SecretState, Timestamp,
    },
    store::UnreadableRow,
};

/// Why a client use case failed.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// There is no client with this `client_id`.
    #[error("there is no client {0}; `jeton client list` shows all clients")]
    NoSuchClient(ClientId),
    /// The client has no secret with this id.
    #[error("client {0} has no secret {1}")]
    NoSuchSecret(ClientId, Uuid),
    /// There is no token with this id.
    #[error(
        "there is no token with the id {0}: it never existed, or it expired long ago and was \
         deleted"
    )]
    NoSuchToken(Uuid),
    /// The secret has ended, so it cannot be retired later.
    #[error("secret {1} of client {0} is {state} already", state = .2.as_str())]
    SecretEnded(ClientId, Uuid, SecretState),
    /// Without the secret its client cannot authenticate.
    #[error(
        "nothing was changed: secret {1} is the last live secret of client {0}, which cannot \
         authenticate without it. `jeton client add-secret {0}` adds another first; with --yes it \
         is retired all the same"
    )]
    LastLiveSecret(ClientId, Uuid),
    /// A secret that leaked stays out of use.
    #[error(
        "secret {1} of client {0} has leaked and stays out of use; \
         `jeton client add-secret {0}` makes another"
    )]
    SecretLeaked(ClientId, Uuid),
    /// The secret would be refused even if its retirement were taken back.
    #[error(
        "secret {1} of client {0} expired at {2}, so nothing can be restored; \
         `jeton client add-secret {0}` makes another"
    )]
    SecretExpired(ClientId, Uuid, Timestamp),
    /// The secret ended so long ago that its hash is erased, by the next upkeep at the latest.
    #[error(
        "secret {1} of client {0} ended more than 30 days ago and its hash is erased, so it cannot \
         be restored; `jeton client add-secret {0}` makes another"
    )]
    SecretForgotten(ClientId, Uuid),
    /// The client has as many live secrets as it may have.
    #[error(
        "client {client_id} has {most} live secrets, as many as it may have: retire one \
         that nothing uses any more, such as {unused} (`jeton client secrets {client_id}` shows \
         their uses, `jeton client retire-secret {client_id} {unused}` retires it)",
        most = MAX_LIVE_SECRETS
    )]
    TooManySecrets {
        /// The client.
        client_id: ClientId,
        /// The one of its live secrets that has not been used for the longest time.
        unused: Uuid,
    },
    /// The secret is still in use.
    #[error(
        "secret {secret} of client {client_id} is still in use: it was used last at {at}{from}. \
         Give the client a newer secret first (`jeton client secrets {client_id}` shows whether it \
         is used), or add --even-if-in-use",
        from = .address.map(|address| format!(", from {address}")).unwrap_or_default()
    )]
    SecretInUse {
        /// Its client.
        client_id: ClientId,
        /// Id of the secret.
        secret: Uuid,
        /// Its last use.
        at: Timestamp,
        /// Source of that use.
        address: Option<IpAddr>,
    },
    /// The `client_id` is taken.
    #[error(
        "there is already a client {0}: choose another client id, or give it one more secret with \
         `jeton client add-secret {0}`"
    )]
    ClientIdTaken(ClientId),
    /// The client is not what it was when the etag was made, and these fields differ.
    #[error(
        "client {0} was changed since its etag was read{fields}: nothing was changed; read it \
         again with `jeton client show {0}`, and use the new etag",
        fields = differing(.1)
    )]
    EtagMismatch(ClientId, Vec<&'static str>),
    /// Others changed the client each time that the update was tried.
    #[error("nothing was changed, because others are changing client {0} all the time: try again")]
    ChangedMeanwhile(ClientId),
    /// The tag key cannot be rotated while the previous one is still accepted.
    #[error(
        "the tag key was rotated before and the previous one is still accepted: replace the \
         secrets that were made with it, then run `jeton tag-key retire`"
    )]
    PreviousTagKey,
    /// There is no previous tag key to retire.
    #[error("there is no previous tag key; `jeton tag-key rotate` makes the current one previous")]
    NoPreviousTagKey,
    /// So many nodes of earlier versions run. They would not accept the new tag key.
    #[error(
        "{0} of the running nodes are of an earlier version, which knows only the first tag key: \
         replace them, then run `jeton tag-key rotate` again"
    )]
    EarlierNodes(u64),
    /// Another command completed the rotation in the meantime.
    #[error("another command has rotated the tag key meanwhile; `jeton tag-key show` tells when")]
    RotatedMeanwhile,
    /// No deletion of such a client is kept.
    #[error(
        "no client {0} was deleted within the last 30 days by a command or a call, so none can \
         come back; `jeton audit list --client {0}` shows what became of it"
    )]
    NotDeleted(ClientId),
    /// A secret cannot be made to expire later than it does.
    #[error(
        "secret {1} of client {0} expires at {2}, which can only be brought forward: \
         `jeton client add-secret {0}` makes another"
    )]
    LaterExpiry(ClientId, Uuid, Timestamp),
    /// The request was carried out before, and its secret cannot get another text.
    #[error(
        "request {0} was carried out before, and its secret was used, may have been used, or works \
         no more: if nobody has its text, add another secret and retire this one"
    )]
    AlreadyDelivered(Uuid),
    /// Another request had this id.
    #[error("another request with the id {0} was carried out before: make an id for each request")]
    RequestIdReused(Uuid),
    /// A value is not valid.
    #[error(transparent)]
    Malformed(#[from] Malformed),
    /// The secret could not be hashed.
    #[error("the secret cannot be hashed")]
    Hash(#[source] Cause),
    /// The requested row cannot be read.
    #[error(transparent)]
    Unreadable(UnreadableRow),
    /// The store or the source of randomness failed.
    #[error("the database cannot be used")]
    Store(#[source] Error),
}

/// Names the fields that differ. It is empty if a rare coincidence hides them.
fn differing(fields: &[&str]) -> String {
    if fields.is_empty() { String::new() } else { format!(" ({})", fields.join(", ")) }
}

impl From<Error> for RegistryError {
    fn from(error: Error) -> Self {
        UnreadableRow::behind(error).map_or_else(Self::Store, Self::Unreadable)
    }
}

impl From<RandomFailed> for RegistryError {
    fn from(failed: RandomFailed) -> Self {
        Self::Store(failed.into())
    }
}
