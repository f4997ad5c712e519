//! The database that a command works on.

use std::{sync::Arc, time::Duration};

use anyhow::Context;
use tokio::time::timeout;

use super::{
    deadline::{Deadline, Wait},
    node, output,
};
use crate::{
    config::Database,
    domain::{Actor, HashCost, OsRandom, SystemClock},
    registry::Registry,
    store::{SqliteStore, Store},
};

/// What is said of a command that only looks.
pub(super) const UNCHANGED: &str = "Nothing was changed.";

/// How long a command takes leave of its database. A statement that was given up may still run.
const CLOSE: Duration = Duration::from_secs(1);

/// The database that a command works on.
pub(super) struct Target {
    pub(super) database: Database,
    pub(super) store: Arc<dyn Store>,
    /// Which one that is, for people, without its password.
    pub(super) place: String,
}

impl Target {
    /// The database that the flags name. Nothing is asked of it yet, and nothing is made.
    pub(super) fn of(database: Database) -> anyhow::Result<Self> {
        let store = node::open_store(&database)?;
        let place = place(&database);
        Ok(Self { database, store, place })
    }

    /// Does work that changes nothing.
    pub(super) async fn look<T>(
        &self,
        deadline: Deadline,
        work: impl Future<Output = anyhow::Result<T>>,
    ) -> anyhow::Result<T> {
        let done = self.step(deadline, UNCHANGED, self.ready_for(work)).await;
        self.leave().await;
        done
    }

    /// Does work that changes something, and says first where. `undecided` is said if no answer
    /// comes.
    pub(super) async fn change<T>(
        &self,
        deadline: Deadline,
        undecided: &str,
        work: impl Future<Output = anyhow::Result<T>>,
    ) -> anyhow::Result<T> {
        output::remark(&format!("Database: {}", self.place));
        let done = self.step(deadline, undecided, self.ready_for(work)).await;
        self.leave().await;
        done
    }

    /// Does a part of the work, with a deadline of its own.
    pub(super) async fn step<T>(
        &self,
        deadline: Deadline,
        undecided: &str,
        work: impl Future<Output = anyhow::Result<T>>,
    ) -> anyhow::Result<T> {
        let wait = Wait { whom: &self.place, undecided, store: Some(self.store.as_ref()) };
        deadline.bound(&wait, work).await
    }

    /// Does the work once the schema has been found up to date. Looking at clients must not change
    /// a schema under running nodes, nor make a database where somebody named the wrong place.
    pub(super) async fn ready_for<T>(
        &self,
        work: impl Future<Output = anyhow::Result<T>>,
    ) -> anyhow::Result<T> {
        self.store.check_schema().await.with_context(|| self.place.clone())?;
        work.await
    }

    /// The use cases on clients, for who makes no secret.
    pub(super) fn registry(&self, actor: Actor) -> Registry {
        self.hashing_registry(actor, HashCost::DEFAULT)
    }

    /// The use cases on clients, for who makes secrets at this cost.
    pub(super) fn hashing_registry(&self, actor: Actor, cost: HashCost) -> Registry {
        let (clock, random) = (Arc::new(SystemClock), Arc::new(OsRandom));
        Registry::new(Arc::clone(&self.store), clock, random, cost, actor)
    }

    /// Closes the connections. The last one that leaves an embedded database puts all of it into
    /// its one file.
    pub(super) async fn leave(&self) {
        let _ = timeout(CLOSE, self.store.close()).await;
    }
}

/// Names a database for people: its URL without the password, or its file.
pub(super) fn place(database: &Database) -> String {
    if let Some(url) = &database.database_url {
        return url.redacted();
    }
    let file = SqliteStore::file_in(&database.directory.data_dir);
    std::path::absolute(&file).unwrap_or(file).display().to_string()
}
