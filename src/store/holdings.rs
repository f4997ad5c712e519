//! Row counts of a database, for backup and restore.

use std::time::Duration;

use serde_json::{Value, json};

use crate::domain::{AuditMark, Timestamp};

/// Row counts of a database at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Holdings {
    /// Version of the schema.
    pub schema: i64,
    /// Number of clients.
    pub clients: i64,
    /// Number of secrets, including retired ones.
    pub secrets: i64,
    /// Number of tokens, including expired ones that are not deleted yet.
    pub tokens: i64,
    /// Number of revocations of single tokens.
    pub revocations: i64,
    /// Number of rows in the audit trail.
    pub audit: i64,
    /// When the newest row was written; `None` if no row has a usable time.
    pub newest: Option<Timestamp>,
    /// Last sealed row of the audit trail; `None` if there is no readable one.
    pub mark: Option<AuditMark>,
}

/// Result of preparing a restored database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Finished {
    /// Contents of the database before it was prepared.
    pub found: Holdings,
    /// Tokens issued before this moment are inactive.
    pub not_before: Timestamp,
    /// Time from the newest row to the restore; `None` if the newest row is unknown.
    pub lost: Option<Duration>,
}

impl Finished {
    /// Column `detail` of its row in the audit trail.
    pub(super) fn detail(&self) -> Value {
        json!({
            "not_before": self.not_before.to_string(),
            "newest": self.found.newest.map(|newest| newest.to_string()),
        })
    }
}
