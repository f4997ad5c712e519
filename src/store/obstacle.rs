//! What a change waits for, for the person who waits.

use std::time::Duration;

/// What stands in the way of a change that takes long.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Obstacle {
    /// Nodes that have not applied the newest change.
    Nodes {
        /// How many.
        count: i64,
        /// When the last of their leases is over at the latest.
        longest: Duration,
    },
    /// A session of the database that holds a lock which others wait for.
    Session {
        /// Its process.
        pid: i32,
        /// Its program and its role, as far as the database tells.
        name: String,
        /// The age of its transaction.
        since: Duration,
    },
    /// Another process makes or migrates the embedded database.
    Migration,
    /// Another process puts a restored file into the place of the embedded database.
    Replacement,
}
