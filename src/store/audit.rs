//! The audit trail as a store: reading it, and finding rows of it.

use std::ops::RangeInclusive;

use async_trait::async_trait;
use uuid::Uuid;

use super::Readable;
use crate::domain::{AuditEntry, AuditMark, ClientId, Error, Timestamp};

/// Which rows of the audit trail are looked for: those with everything that is named here.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AuditFilter {
    /// About the clients that have or had this `client_id`. A client that was renamed is followed
    /// by its key, so rows under its other names are found as well.
    pub client_id: Option<ClientId>,
    /// By this actor, as the trail names it; an operator also without `operator:`, and an edit by
    /// hand by the role in the database.
    pub actor: Option<String>,
    /// About the client, secret or token with this id.
    pub id: Option<Uuid>,
    /// Of this action, such as `client.update`, or of one kind of thing, such as `client`.
    pub action: Option<String>,
    /// Written at this moment or later.
    pub since: Option<Timestamp>,
    /// Written before this moment.
    pub until: Option<Timestamp>,
}

/// Every position in the trail, also one that Jeton never gives.
pub const WHOLE_TRAIL: RangeInclusive<i64> = i64::MIN..=i64::MAX;

/// The audit trail.
///
/// # Errors
/// As described at [`Store`](super::Store).
#[async_trait]
pub trait AuditStore: Send + Sync {
    /// Reads at most `limit` rows of the audit trail after `seq`, in order of `seq`.
    async fn audit_after(&self, seq: i64, limit: u32) -> Result<Vec<Readable<AuditEntry>>, Error>;

    /// Finds the last `limit` rows within `seqs` that match, newest first. A row that lost its
    /// position is among those up to the greatest one.
    async fn search_audit(
        &self,
        filter: &AuditFilter,
        seqs: RangeInclusive<i64>,
        limit: u32,
    ) -> Result<Vec<Readable<AuditEntry>>, Error>;

    /// Finds the last `limit` rows, newest first. With `client_id`, only the rows of that client.
    async fn last_of_audit(
        &self,
        client_id: Option<&ClientId>,
        limit: u32,
    ) -> Result<Vec<Readable<AuditEntry>>, Error> {
        let filter = AuditFilter { client_id: client_id.cloned(), ..AuditFilter::default() };
        self.search_audit(&filter, WHOLE_TRAIL, limit).await
    }

    /// Reads the mark of the last sealed row of the audit trail, or `None` if no row is sealed.
    async fn audit_head(&self) -> Result<Option<AuditMark>, Error>;
}
