//! Connections of a store: their number, for metrics, and the process at their other end.

use crate::domain::Timestamp;

/// Connection counts of a store.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Connections {
    /// Open connections.
    pub open: u32,
    /// Open connections that are not in use.
    pub idle: u32,
    /// Maximum number of connections.
    pub most: u32,
}

impl Connections {
    /// Counts the connections of a pool.
    pub(super) fn of<D: sqlx::Database>(pool: &sqlx::Pool<D>) -> Self {
        let idle = u32::try_from(pool.num_idle()).unwrap_or(u32::MAX);
        Self { open: pool.size(), idle, most: pool.options().get_max_connections() }
    }
}

/// The process that serves a connection on the machine of the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ServerProcess {
    /// Its id on that machine.
    pub pid: u32,
    /// When it started, by the clock of that machine.
    pub started: Timestamp,
}
