//! Restores a backup of a database on Postgres into an empty database, in one transaction.

use std::path::Path;

use anyhow::Context;

use super::unusable;
use crate::{
    cli::{
        backup::{archive::Archive, program},
        exit::Exit,
        node,
        target::Target,
    },
    config::DatabaseUrl,
    domain::{Actor, Clock, OsRandom, SystemClock},
    store::{Finished, PostgresStore},
};

/// Message if unpacking times out.
pub(super) const UNDECIDED: &str = "The database is still empty: the restore is one transaction.";

/// Message if finishing times out or fails.
pub(super) const UNFINISHED: &str = "The rows are restored, but their tokens are not invalidated \
    yet: run `jeton restore --finish` before starting a node on this database.";

/// Reads the backup, checks that this version knows its schema, and writes it into the database.
///
/// # Errors
/// If the database is not empty, the file is not a backup of a known schema, or `pg_restore` fails.
pub(super) async fn unpack(
    backup: &Path,
    target: &Target,
    url: &DatabaseUrl,
) -> anyhow::Result<()> {
    let store = node::open_postgres(&target.database, url)?;
    let server = match store.empty_server().await.with_context(|| target.place.clone())? {
        Ok(server) => server,
        Err(found) => {
            return Err(Exit::Conflict.error(format!(
                "{} is not empty; it holds {}{}: create a new database with createdb, restore into \
                 it and give its URL to the nodes afterwards",
                target.place,
                found.iter().take(5).cloned().collect::<Vec<_>>().join(", "),
                if found.len() > 5 { " and others" } else { "" }
            )));
        }
    };
    let programs = program::suitable("pg_restore", program::major_of(server)).await?;
    let (archive, program) = Archive::read(backup, programs).await?;
    PostgresStore::refuse_unknown(archive.schema).map_err(|error| unusable(backup, error))?;
    let mut command = program.at(url);
    command
        .args(["--single-transaction", "--exit-on-error", "--no-owner", "--no-password"])
        // All other parameters, including the name of the database, are in the environment.
        .arg("--dbname=application_name=jeton")
        .arg(backup);
    program::run(command, None).await.context("nothing was restored")
}

/// Migrates the schema and prepares the database for nodes.
pub(super) async fn finish(target: &Target, actor: &Actor) -> anyhow::Result<Finished> {
    let migrated = target.store.migrate(SystemClock.now(), &OsRandom).await;
    migrated.context(UNFINISHED)?;
    super::finish(target.store.as_ref(), actor).await.context(UNFINISHED)
}
