//! Rotation of secrets: evidence of their use, and retirements that can be taken back.

use std::time::Duration;

use async_trait::async_trait;

use super::{Readable, Retirement};
use crate::domain::{Actor, ClientId, Error, Gap, Recorder, SecretId, SecretUse, Timestamp};

/// Evidence as it is stored, for [`Evidence::new`](crate::domain::Evidence::new).
#[derive(Debug, Clone)]
pub struct StoredEvidence {
    /// Time of the database when it was read.
    pub now: Timestamp,
    /// Times of which nothing is known.
    pub gaps: Vec<Gap>,
    /// Nodes that count uses, or should.
    pub recorders: Vec<Recorder>,
}

/// A client, and when it authenticated last, as far as that is known.
pub type UnusedClient = (ClientId, Option<Timestamp>);

/// What of a secret is changed. What is `None` stays as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SecretChange {
    /// Its label.
    pub label: Option<String>,
    /// Its own expiry, which can only be brought forward.
    pub expires_at: Option<Timestamp>,
}

/// What rotation needs: uses are written by nodes and read by operators.
///
/// A store counts for one node. Its id is given by [`begin_evidence`](Self::begin_evidence), and
/// the store keeps it.
///
/// # Errors
/// As described at [`Store`](super::Store).
#[async_trait]
pub trait RotationStore: Send + Sync {
    /// Announces that this node counts uses from now on and wants to write them within `due`. A
    /// node calls it before it serves.
    async fn begin_evidence(&self, now: Timestamp, due: Duration) -> Result<(), Error>;

    /// Adds uses that were counted, each secret once. Secrets that do not exist any more are left
    /// out. If the answer is lost, the same uses may be added twice.
    async fn record_uses(&self, uses: &[(SecretId, SecretUse)]) -> Result<(), Error>;

    /// Declares that everything counted until `flushed_at` was added, and that this node wants to
    /// write again within `due`. With `lost_since`, that it could not count everything since then.
    /// Turns nodes that are gone into gaps.
    async fn mark_evidence(
        &self,
        flushed_at: Timestamp,
        due: Duration,
        lost_since: Option<Timestamp>,
    ) -> Result<(), Error>;

    /// Declares that this node has written everything and counts no more.
    async fn end_evidence(&self) -> Result<(), Error>;

    /// Reads how far the evidence goes. `now` is the time where the database has no clock.
    async fn evidence(&self, now: Timestamp) -> Result<StoredEvidence, Error>;

    /// Reads the uses of the secrets of a client, with their sources. A secret that was never used
    /// nor refused may be missing.
    async fn secret_uses(
        &self,
        client_id: &ClientId,
    ) -> Result<Vec<(SecretId, Readable<SecretUse>)>, Error>;

    /// Reads when each of these secrets was used last. Secrets that never were are left out, and
    /// rows that cannot be read.
    async fn last_uses(&self, secrets: &[SecretId]) -> Result<Vec<(SecretId, Timestamp)>, Error>;

    /// Lists at most `limit` active clients that were registered before `since` and have not
    /// authenticated from then on, with the last time that they did: those after the client id
    /// `after`, in order of their client id. `None` stands for a row that cannot be read.
    async fn unused_clients(
        &self,
        since: Timestamp,
        after: Option<&ClientId>,
        limit: u32,
    ) -> Result<Vec<Option<UnusedClient>>, Error>;

    /// Changes a secret of this client. Returns false if the client has no secret of this id, or,
    /// for an expiry, if the secret is not live at `now` or expires before that anyway.
    async fn update_secret(
        &self,
        client_id: &ClientId,
        secret: SecretId,
        change: &SecretChange,
        now: Timestamp,
        actor: &Actor,
    ) -> Result<bool, Error>;

    /// Takes a secret of this client out of use. Returns false if the client has no secret of this
    /// id, or no live one if the retirement begins later. A retired secret can still be declared
    /// leaked, and a leaked one stays leaked.
    ///
    /// Unless `even_if_last` is set, it also returns false if the secret is live and its client
    /// keeps no other one that is live and whose retirement was not announced. Of several that are
    /// retired so at the same time, one is kept. A secret that leaked ends in any case.
    async fn retire_secret(
        &self,
        client_id: &ClientId,
        secret: SecretId,
        retirement: Retirement,
        even_if_last: bool,
        now: Timestamp,
        actor: &Actor,
    ) -> Result<bool, Error>;

    /// Takes the retirement of a secret back, whether or not it has begun. Returns false if the
    /// client has no secret of this id, if it leaked or its hash was erased, or if the client has
    /// [`MAX_LIVE_SECRETS`](crate::domain::MAX_LIVE_SECRETS) others that are live at `now`.
    async fn restore_secret(
        &self,
        client_id: &ClientId,
        secret: SecretId,
        now: Timestamp,
        actor: &Actor,
    ) -> Result<bool, Error>;
}
