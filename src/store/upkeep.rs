//! What looking after a store comes to.

/// What a round of upkeep did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Upkeep {
    /// Partitions of the token table that were made ahead. Always 0 on SQLite, which has none.
    pub partitions_made: u32,
    /// Partitions that were dropped, on SQLite slices of dead tokens that were removed.
    pub expired_batches_removed: u32,
    /// Rows of `revoked_token` that were no longer needed.
    pub revocations_forgotten: u64,
    /// Rows of the change feed that every node has read.
    pub changes_forgotten: u64,
    /// Rows of the audit trail that were kept for long enough.
    pub audit_forgotten: u64,
}
