//! Where a Postgres is, and which processes of it this node has left behind.

use std::{
    sync::{Mutex, MutexGuard, Once, PoisonError},
    time::Duration,
};

use sqlx::{PgConnection, postgres::PgConnectOptions};

use super::session::{self, Backend, Description, OpenError};

/// Where a database is, and what is known of it beside the units.
pub(super) struct Route {
    /// The hosts, in the order in which they are tried.
    pub(super) hosts: Vec<PgConnectOptions>,
    /// How long a connection may take, and how long a caller waits for one.
    pub(super) wait: Duration,
    /// Whether a pooler stands between that pools by transaction. There the processes of the server
    /// belong to everybody and are not ours to end.
    pub(super) is_pooled: bool,
    /// Processes of the server that are to be ended.
    left_behind: Mutex<Vec<Backend>>,
    /// What was warned of already.
    warned: Once,
}

impl Route {
    /// A way to these hosts.
    pub(super) const fn new(hosts: Vec<PgConnectOptions>, wait: Duration, is_pooled: bool) -> Self {
        Self { hosts, wait, is_pooled, left_behind: Mutex::new(Vec::new()), warned: Once::new() }
    }

    /// A new session, set up and proved to be on a primary. Ends what earlier ones left behind.
    pub(super) async fn connect(&self) -> Result<(PgConnection, Description), OpenError> {
        let (mut connection, found) = session::connect(&self.hosts, self.wait).await?;
        self.end_left_behind(&mut connection).await?;
        Ok((connection, found))
    }

    /// Warns once of a database that can lose what it acknowledged.
    pub(super) fn warn_of_durability(&self, found: &Description) {
        self.warned.call_once(|| warn_of_durability(found));
    }

    /// Notes a process that may still be at work for a session that was given up.
    pub(super) fn leave_behind(&self, backend: Option<Backend>) {
        if !self.is_pooled {
            self.lock().extend(backend);
        }
    }

    /// Ends the processes that were left behind.
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
            "the database is configured to lose commits in a crash: sessions of this node use on"
        );
    }
    if !found.flushes {
        tracing::warn!("fsync is off: what is acknowledged is lost if the database server crashes");
    }
}
