//! The database as each lane sees it.

use std::sync::Arc;

use super::Store;
use crate::domain::Lane;

/// The store of each lane. They share what is stored and no connection, so that callers who ask for
/// tokens cannot keep those waiting who ask about them.
#[derive(Clone)]
pub struct Stores {
    /// For issuing.
    pub issue: Arc<dyn Store>,
    /// For introspection and revocation.
    pub inspect: Arc<dyn Store>,
}

impl Stores {
    /// The store of a lane.
    #[must_use]
    pub const fn of(&self, lane: Lane) -> &Arc<dyn Store> {
        match lane {
            Lane::Issue => &self.issue,
            Lane::Inspect => &self.inspect,
        }
    }
}
