//! What a database holds, counted, for whoever saves or restores it.

use std::time::Duration;

use serde_json::{Value, json};

use crate::domain::{AuditMark, Timestamp};

/// What a database holds, counted at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Holdings {
    /// The version of its schema.
    pub schema: i64,
    /// Clients.
    pub clients: i64,
    /// Secrets of these, those that were retired included.
    pub secrets: i64,
    /// Tokens, those that have expired and were not removed yet included.
    pub tokens: i64,
    /// Marks of tokens that were revoked.
    pub revocations: i64,
    /// Rows of the audit trail.
    pub audit: i64,
    /// When its newest row was written; none if it holds nothing that tells.
    pub newest: Option<Timestamp>,
    /// Where its audit trail ends.
    pub mark: Option<AuditMark>,
}

/// What was done to a database that was restored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Finished {
    /// What was found.
    pub found: Holdings,
    /// Tokens that were issued before are inactive.
    pub not_before: Timestamp,
    /// How long after the newest row that was found the database was restored.
    pub lost: Option<Duration>,
}

impl Finished {
    /// What the audit trail keeps of it.
    pub(super) fn detail(&self) -> Value {
        json!({
            "not_before": self.not_before.to_string(),
            "newest": self.found.newest.map(|newest| newest.to_string()),
        })
    }
}
