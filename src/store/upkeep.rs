//! Upkeep, the periodic maintenance of a store.

use std::time::Duration;

/// How long after a secret has ended its hash is erased.
pub const FORGET_AFTER: Duration = Duration::from_hours(30 * 24);

/// Counts of one round of upkeep.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Upkeep {
    /// Partitions of the token table that were created ahead. Always 0 on SQLite, which has none.
    pub partitions_made: u32,
    /// Dropped partitions; on SQLite, deleted slices of expired tokens.
    pub expired_partitions_dropped: u32,
    /// Deleted rows of `revoked_token` that were no longer needed.
    pub revocations_forgotten: u64,
    /// Deleted rows of the change feed that every node has read.
    pub changes_forgotten: u64,
    /// Erased hashes of client secrets that ended long ago.
    pub hashes_forgotten: u64,
    /// Deleted rows of the audit trail that were older than its retention.
    pub audit_forgotten: u64,
    /// Sizes after the round.
    pub sizes: Sizes,
}

/// Sizes on disk, in bytes, with indexes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Sizes {
    /// The whole database.
    pub database: u64,
    /// All partitions of `access_token`; `None` on SQLite, where only a scan would tell.
    pub tokens: Option<u64>,
    /// The audit trail; `None` on SQLite.
    pub audit: Option<u64>,
}
