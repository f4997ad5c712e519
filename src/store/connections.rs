//! How the connections to a database stand, for whoever looks after a node.

/// The connections to a database.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Connections {
    /// Those that are open.
    pub open: u32,
    /// Of these, those that nothing uses.
    pub idle: u32,
    /// The most that there may be.
    pub most: u32,
}

impl Connections {
    /// Those of a pool.
    pub(super) fn of<D: sqlx::Database>(pool: &sqlx::Pool<D>) -> Self {
        let idle = u32::try_from(pool.num_idle()).unwrap_or(u32::MAX);
        Self { open: pool.size(), idle, most: pool.options().get_max_connections() }
    }
}
