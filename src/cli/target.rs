//! Database that a command works on directly, without a node.

use std::{env, path::Path, sync::Arc, time::Duration};

use anyhow::Context;
use tokio::time::timeout;

use super::{
    deadline::{Deadline, Wait},
    exit::Exit,
    node, output,
};
use crate::{
    config::Database,
    domain::{Actor, HashCost, OsRandom, SystemClock},
    registry::Registry,
    store::{SqliteStore, Store},
};

/// Message if a read-only command times out.
pub(super) const UNCHANGED: &str = "Nothing was changed.";

/// The variable that names a context. Only the commands of `jeton client` have contexts.
const CONTEXT: &str = "JETON_CONTEXT";

/// Timeout for closing the connections. An abandoned statement may still be running on one.
const CLOSE: Duration = Duration::from_secs(1);

/// Database that a command works on.
pub(super) struct Target {
    pub(super) database: Database,
    pub(super) store: Arc<dyn Store>,
    /// Name of the database for people: its URL without the password, or its file.
    pub(super) place: String,
}

impl Target {
    /// The database that the flags name, for a command without contexts. This neither creates it
    /// nor connects to it.
    ///
    /// # Errors
    /// If the flags cannot be used, or if the environment names a context: the command would work
    /// elsewhere.
    pub(super) fn of(database: Database) -> anyhow::Result<Self> {
        if env::var_os(CONTEXT).is_some_and(|name| !name.is_empty()) {
            return Err(Exit::Usage.error(format!(
                "this command has no contexts, and {CONTEXT} names one: unset it, and name the \
                 database with --database-url or --data-dir"
            )));
        }
        Self::within(database)
    }

    /// The database that the flags, or a context, name.
    pub(super) fn within(database: Database) -> anyhow::Result<Self> {
        let store = node::open_store(&database)?;
        let place = place(&database);
        Ok(Self { database, store, place })
    }

    /// Prints the name of the database, on standard error.
    pub(super) fn announce(&self) {
        output::remark(&format!("Database: {}", self.place));
    }

    /// Prints the name of the database, runs read-only `work` on an up-to-date schema, then closes
    /// it.
    pub(super) async fn look<T>(
        &self,
        deadline: Deadline,
        work: impl Future<Output = anyhow::Result<T>>,
    ) -> anyhow::Result<T> {
        self.announce();
        let done = self.step(deadline, UNCHANGED, self.ready_for(work)).await;
        self.leave().await;
        done
    }

    /// Prints the name of the database, runs `work` that changes it, then closes it. `undecided` is
    /// the message if no answer comes before the deadline.
    pub(super) async fn change<T>(
        &self,
        deadline: Deadline,
        undecided: &str,
        work: impl Future<Output = anyhow::Result<T>>,
    ) -> anyhow::Result<T> {
        self.announce();
        let done = self.step(deadline, undecided, self.ready_for(work)).await;
        self.leave().await;
        done
    }

    /// Runs one part of the work, with its own deadline.
    pub(super) async fn step<T>(
        &self,
        deadline: Deadline,
        undecided: &str,
        work: impl Future<Output = anyhow::Result<T>>,
    ) -> anyhow::Result<T> {
        let wait = Wait { whom: &self.place, undecided, store: Some(self.store.as_ref()) };
        deadline.bound(&wait, work).await
    }

    /// Runs `work` after checking that the schema is up to date. Commands other than `migrate` must
    /// neither migrate a schema under running nodes nor create a database at a mistyped location.
    pub(super) async fn ready_for<T>(
        &self,
        work: impl Future<Output = anyhow::Result<T>>,
    ) -> anyhow::Result<T> {
        self.store.check_schema().await.with_context(|| self.place.clone())?;
        work.await
    }

    /// Registry of clients, for commands that create no secret.
    pub(super) fn registry(&self, actor: Actor) -> Registry {
        self.hashing_registry(actor, HashCost::DEFAULT)
    }

    /// Registry of clients, for commands that create secrets, hashed at this cost.
    pub(super) fn hashing_registry(&self, actor: Actor, cost: HashCost) -> Registry {
        let (clock, random) = (Arc::new(SystemClock), Arc::new(OsRandom));
        Registry::new(Arc::clone(&self.store), clock, random, cost, actor)
    }

    /// Closes the connections. On an embedded database, closing the last connection moves its
    /// write-ahead log into the one file.
    pub(super) async fn leave(&self) {
        let _ = timeout(CLOSE, self.store.close()).await;
    }
}

/// Names a database for people: its URL without the password, or its file.
pub(super) fn place(database: &Database) -> String {
    if let Some(url) = &database.database_url {
        return url.redacted();
    }
    embedded_place(&database.directory.data_dir)
}

/// Names the embedded database in a data directory for people: its file.
pub(super) fn embedded_place(directory: &Path) -> String {
    let file = SqliteStore::file_in(directory);
    std::path::absolute(&file).unwrap_or(file).display().to_string()
}
