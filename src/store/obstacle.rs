//! Reasons why a change takes long, shown to the operator who waits for it.

use std::time::Duration;

/// What a slow change is waiting for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Obstacle {
    /// Nodes that have not applied the newest change.
    Nodes {
        /// Number of nodes.
        count: i64,
        /// Time after which all their leases have expired at the latest.
        longest: Duration,
    },
    /// A database session that holds a lock that other sessions wait for.
    Session {
        /// Process id of the session on the server.
        pid: i32,
        /// Application name, role and state of the session, as far as the database shows them.
        name: String,
        /// Age of its transaction.
        since: Duration,
    },
    /// Another process creates or migrates the embedded database.
    Migration,
    /// Another process replaces the embedded database with a restored file.
    Replacement,
}
