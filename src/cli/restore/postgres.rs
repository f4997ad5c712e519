//! A backup of a database on Postgres: into an empty one, in one transaction.

use std::path::Path;

use anyhow::{Context, bail};

use super::unusable;
use crate::{
    cli::{
        backup::{archive::Archive, program},
        node,
        target::Target,
    },
    config::DatabaseUrl,
    domain::{Actor, Clock, OsRandom, SystemClock},
    store::{Finished, PostgresStore},
};

/// What is said if unpacking took too long.
pub(super) const UNDECIDED: &str = "The database holds nothing: it is one transaction.";

/// What is said if the rest took too long.
pub(super) const UNFINISHED: &str = "The rows are there, and the tokens of before are not \
    invalidated yet: give `jeton restore --finish` before a node is started on this database.";

/// Reads the backup, and if it is one that this version knows, writes it into the database.
pub(super) async fn unpack(
    backup: &Path,
    target: &Target,
    url: &DatabaseUrl,
) -> anyhow::Result<()> {
    let store = node::open_postgres(&target.database, url)?;
    let server = match store.empty_server().await.with_context(|| target.place.clone())? {
        Ok(server) => server,
        Err(found) => bail!(
            "{} is not empty; it holds {}{}: make a new database with createdb, name that, and \
             give its URL to the nodes afterwards",
            target.place,
            found.iter().take(5).cloned().collect::<Vec<_>>().join(", "),
            if found.len() > 5 { " and others" } else { "" }
        ),
    };
    let programs = program::suitable("pg_restore", program::major_of(server)).await?;
    let (archive, program) = Archive::read(backup, programs).await?;
    PostgresStore::refuse_unknown(archive.schema).map_err(|error| unusable(backup, error))?;
    let mut command = program.at(url);
    command
        .args(["--single-transaction", "--exit-on-error", "--no-owner", "--no-password"])
        // Everything else, the name of the database too, is in the environment.
        .arg("--dbname=application_name=jeton")
        .arg(backup);
    program::run(command, None).await.context("nothing was restored")
}

/// Brings the schema up to date, and does what must be done before a node starts.
pub(super) async fn finish(target: &Target, actor: &Actor) -> anyhow::Result<Finished> {
    let migrated = target.store.migrate(SystemClock.now(), &OsRandom).await;
    migrated.context(UNFINISHED)?;
    super::finish(target.store.as_ref(), actor).await.context(UNFINISHED)
}
