//! Database that a command works on directly, without a node.

use std::{path::Path, sync::Arc, time::Duration};

use anyhow::Context;
use tokio::time::timeout;

use super::{
    confirm::Confirmation,
    contexts::{self, Context as Named, Label, Place},
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

/// Timeout for closing the connections. An abandoned statement may still be running on one.
const CLOSE: Duration = Duration::from_secs(1);

/// Database that a command works on.
pub(super) struct Target {
    pub(super) database: Database,
    pub(super) store: Arc<dyn Store>,
    /// Name of the database for people: its URL without the password, or its file.
    pub(super) place: String,
    /// The context, if one names the database.
    context: Option<Label>,
}

/// The flags of a database, and the context that it is from.
pub(super) struct Located {
    pub(super) database: Database,
    pub(super) context: Option<Label>,
}

impl Located {
    /// The database that the flags, else the context, name, for a command that works directly on
    /// it.
    ///
    /// # Errors
    /// If the context cannot be used, or is a node.
    pub(super) fn of(mut database: Database) -> anyhow::Result<Self> {
        let is_named = database.given.database.is_some();
        let variable = contexts::variable();
        let chosen = if is_named { None } else { contexts::chosen(variable.as_deref())? };
        let Some(Named { label, place }) = chosen else {
            return Ok(Self { database, context: None });
        };
        match place {
            Place::Database(place) => {
                place.name_in(&mut database);
                Ok(Self { database, context: Some(label) })
            }
            Place::Node(node) => Err(Exit::Usage.error(format!(
                "this command works only directly on a database, and context {} is the node {}: \
                 name the database with --database-url or --data-dir, or by another context in \
                 JETON_CONTEXT",
                label.name, node.url
            ))),
        }
    }
}

impl Target {
    /// The database that the flags, else the context, name. This neither creates it nor connects
    /// to it.
    ///
    /// # Errors
    /// If the flags or the context cannot be used.
    pub(super) fn of(database: Database) -> anyhow::Result<Self> {
        Self::within(Located::of(database)?)
    }

    /// The database at this place.
    pub(super) fn within(Located { database, context }: Located) -> anyhow::Result<Self> {
        let store = node::open_store(&database)?;
        let place = place(&database);
        Ok(Self { database, store, place, context })
    }

    /// Prints the name of the database, on standard error.
    pub(super) fn announce(&self) {
        let context = self.context.as_ref().map(ToString::to_string).unwrap_or_default();
        output::remark(&format!("Database: {}{context}", self.place));
    }

    /// Prints the consequence of a change and asks whether to go on. In a protected context the
    /// answer is the name of the context.
    ///
    /// # Errors
    /// As those of [`Confirmation::ask`].
    pub(super) fn confirm(
        &self,
        confirmation: Confirmation,
        consequence: &str,
    ) -> anyhow::Result<()> {
        match &self.context {
            Some(Label { name, is_protected: true }) => {
                confirmation.ask_for_name(consequence, name)
            }
            _ => confirmation.ask(consequence),
        }
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
