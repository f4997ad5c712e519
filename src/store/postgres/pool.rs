//! The connections to Postgres, and their cure.
//!
//! A pool of sqlx 0.9 loses places for good when established connections die silently, as they do
//! behind a firewall that forgets them: callers who give up while such a connection is tried out
//! never give their place back (transact-rs/sqlx #4349), until every request times out before a
//! healthy database. So a node looks every second whether the pool still gives a connection that
//! answers; where it does not and a new connection does, the pool is replaced. A restart would do
//! the same, with everybody's requests.

use std::{
    sync::{
        PoisonError, RwLock,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use sqlx::{
    Connection, PgConnection,
    postgres::{PgConnectOptions, PgPool, PgPoolOptions},
};
use tokio::time::timeout;

use super::feed::PgFeed;
use crate::domain::Error;

/// So many looks in a row must fail. One alone may be a statement that was slow; and under load
/// waiting callers are served in order, so the look has its turn.
const FAILED_LOOKS: u32 = 3;

pub(super) struct Pool {
    connect: PgConnectOptions,
    limits: PgPoolOptions,
    current: RwLock<PgPool>,
    failed_looks: AtomicU32,
}

impl Pool {
    /// Connects when a connection is needed and not before.
    pub(super) fn new(connect: PgConnectOptions, limits: PgPoolOptions) -> Self {
        let current = limits.clone().connect_lazy_with(connect.clone());
        Self { connect, limits, current: RwLock::new(current), failed_looks: AtomicU32::new(0) }
    }

    /// The pool that is in use now.
    pub(super) fn get(&self) -> PgPool {
        // Nothing under the lock panics, so it cannot be poisoned.
        self.current.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Makes a round trip through the pool, and replaces the pool if it is that which fails and
    /// not the database.
    pub(super) async fn check(&self) -> Result<(), sqlx::Error> {
        let pool = self.get();
        let answered = within(self.patience(), async {
            sqlx::query("select 1").execute(&pool).await.map(drop)
        });
        let Err(error) = answered.await else {
            self.failed_looks.store(0, Ordering::Relaxed);
            return Ok(());
        };
        if self.failed_looks.fetch_add(1, Ordering::Relaxed) + 1 >= FAILED_LOOKS
            && self.database_answers().await.is_ok()
        {
            tracing::warn!(
                connections = pool.size(),
                idle = pool.num_idle(),
                "the database answers and its connections do not: they are replaced"
            );
            let fresh = self.limits.clone().connect_lazy_with(self.connect.clone());
            *self.current.write().unwrap_or_else(PoisonError::into_inner) = fresh;
            self.failed_looks.store(0, Ordering::Relaxed);
            // The old one is not closed but dropped: closing waits for connections that will
            // never be given back. What still runs on it ends undisturbed.
        }
        Err(error)
    }

    /// Follows the feed on a connection of its own, which listens or looks often.
    pub(super) async fn follow(&self, lease: Duration, listens: bool) -> Result<PgFeed, Error> {
        PgFeed::connect(self.connect.clone(), self.limits.clone(), lease, listens).await
    }

    /// Asks on a connection of its own. While the database is away the pool says only that it
    /// timed out; this says that the connection was refused or the name not found.
    pub(super) async fn connect(&self) -> Result<PgConnection, sqlx::Error> {
        within(self.patience(), PgConnection::connect_with(&self.connect)).await
    }

    async fn database_answers(&self) -> Result<(), sqlx::Error> {
        let mut connection = self.connect().await?;
        within(self.patience(), async {
            sqlx::query("select 1").execute(&mut connection).await?;
            connection.close().await
        })
        .await
    }

    fn patience(&self) -> Duration {
        self.limits.get_acquire_timeout()
    }
}

async fn within<T>(
    patience: Duration,
    asked: impl Future<Output = Result<T, sqlx::Error>>,
) -> Result<T, sqlx::Error> {
    timeout(patience, asked).await.unwrap_or(Err(sqlx::Error::PoolTimedOut))
}
