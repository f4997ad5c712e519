//! Route to a Postgres server, and the server processes that this node left behind.

use std::{
    sync::{Mutex, MutexGuard, Once, PoisonError},
    time::Duration,
};

use sqlx::{PgConnection, postgres::PgConnectOptions};

use super::session::{self, Backend, Description, OpenError};

/// The hosts of a database, and state that outlives the units.
pub(super) struct Route {
    /// The hosts, in the order in which they are tried.
    pub(super) hosts: Vec<PgConnectOptions>,
    /// Timeout for opening a connection, and for waiting for a free one.
    pub(super) wait: Duration,
    /// Whether connections go through a transaction pooler. Its server processes are shared with
    /// others, so this node must not terminate them.
    pub(super) is_pooled: bool,
    /// Server processes to terminate.
    left_behind: Mutex<Vec<Backend>>,
    /// Done once the warning about durability was logged.
    warned: Once,
}

impl Route {
    /// Creates a route to these hosts.
    pub(super) const fn new(hosts: Vec<PgConnectOptions>, wait: Duration, is_pooled: bool) -> Self {
        Self { hosts, wait, is_pooled, left_behind: Mutex::new(Vec::new()), warned: Once::new() }
    }

    /// Opens a session, sets it up and checks that it is on a primary. Terminates the server
    /// processes that earlier sessions left behind.
    pub(super) async fn connect(&self) -> Result<(PgConnection, Description), OpenError> {
        let (mut connection, found) = session::connect(&self.hosts, self.wait).await?;
        self.end_left_behind(&mut connection).await?;
        Ok((connection, found))
    }

    /// Warns once if the database can lose acknowledged commits.
    pub(super) fn warn_of_durability(&self, found: &Description) {
        self.warned.call_once(|| warn_of_durability(found));
    }

    /// Records a server process that may still run for an abandoned session.
    pub(super) fn leave_behind(&self, backend: Option<Backend>) {
        if !self.is_pooled {
            self.lock().extend(backend);
        }
    }

    /// Terminates the server processes that were left behind.
    pub(super) async fn end_left_behind<'c>(
        &self,
        connection: impl sqlx::PgExecutor<'c>,
    ) -> Result<(), OpenError> {
        let backends = std::mem::take(&mut *self.lock());
        let ended = session::end_backends(connection, &backends).await;
        ended.inspect_err(|_| self.lock().extend(&backends))?;
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Backend>> {
        // Nothing under the lock panics, so it cannot be poisoned.
        self.left_behind.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn warn_of_durability(found: &Description) {
    if let Some(asked) = &found.raised_from {
        tracing::warn!(
            synchronous_commit = asked,
            "the configured synchronous_commit can lose commits in a crash: this node sets it to on"
        );
    }
    if !found.flushes {
        tracing::warn!("fsync is off: a crash of the database server loses acknowledged commits");
    }
}
