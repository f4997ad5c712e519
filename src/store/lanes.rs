//! The stores of the lanes.

use std::sync::Arc;

use super::Store;
use crate::domain::Lane;

/// The store of each lane. On Postgres they share the database but no connections, so issue
/// requests cannot delay introspection and revocation.
#[derive(Clone)]
pub struct Stores {
    /// Store of the lane `issue`.
    pub issue: Arc<dyn Store>,
    /// Store of the lane `inspect`: introspection and revocation.
    pub inspect: Arc<dyn Store>,
}

impl Stores {
    /// Returns the store of a lane.
    #[must_use]
    pub const fn of(&self, lane: Lane) -> &Arc<dyn Store> {
        match lane {
            Lane::Issue => &self.issue,
            Lane::Inspect => &self.inspect,
        }
    }
}
