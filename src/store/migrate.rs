//! The schema: brought up to date, or checked, before anything is served.

use sqlx::migrate::{MigrateError, Migrator};

use crate::domain::{Error, RandomFailed};

/// Why the schema cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SchemaError {
    /// A later version of Jeton was here. What it changed is not known to this one.
    #[error(
        "the database schema is at version {found}, and this jeton knows versions up to {known}: \
         run the version of jeton that migrated the database, or a later one"
    )]
    Newer {
        /// The version found in the database.
        found: i64,
        /// The last version that this binary knows.
        known: i64,
    },
    /// Migrations are missing and were not to be applied.
    #[error(
        "the database schema is at version {found}, and this jeton needs version {known}: run \
         `jeton migrate`, or start a node without --no-migrate, which does the same"
    )]
    Older {
        /// The version found in the database.
        found: i64,
        /// The version that this binary needs.
        known: i64,
    },
    /// Nobody has made a database of Jeton in this place. A command that made one here would show
    /// an empty registry to whoever named the wrong place.
    #[error(
        "there is no database of Jeton; name another place with --data-dir or --database-url, or \
         make one here with `jeton migrate`"
    )]
    Missing,
    /// The place holds tables of the same names that somebody else made.
    #[error("there are tables that Jeton did not make: give it a database of its own")]
    Foreign,
    /// A migration failed. Each runs in a transaction, so the schema is as it was before it.
    #[error("a migration failed")]
    Migration(#[source] MigrateError),
    /// The new installation could not be given a key.
    #[error(transparent)]
    Random(#[from] RandomFailed),
    /// The database does not answer, or refuses a statement.
    #[error("the database cannot be used")]
    Database(#[from] Error),
    /// The database refuses this user, this password or this name. Waiting mends nothing.
    #[error(
        "the database refuses the connection: mend the user, the password or the name of the \
         database in --database-url"
    )]
    Refused(#[source] sqlx::Error),
    /// The database lets this role in and denies it what is needed.
    #[error(
        "the database denies this role what it needs, a grant is missing: `jeton migrate \
         --print-roles` prints those of each role, and whoever owns the tables or is superuser \
         runs that"
    )]
    Forbidden(#[source] sqlx::Error),
    /// The database lets this role in and does not let it change the schema.
    #[error(
        "the role of --database-url may not change the schema: run `jeton migrate` as the owner of \
         the tables, and start nodes with --no-migrate"
    )]
    MayNotMigrate(#[source] sqlx::Error),
    /// The tables are there, and not where the role of the connection looks.
    #[error(
        "the tables of Jeton are in schema {0}, which the role of --database-url may not use: \
         `jeton migrate --print-roles` prints what each role needs, and whoever owns the tables or \
         is superuser runs that"
    )]
    NotVisible(String),
    /// The embedded database cannot be made or locked.
    #[error("the data directory cannot be used")]
    DataDirectory(#[source] std::io::Error),
}

/// What a migration did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Migrated {
    /// The version before; 0 for an empty database.
    pub from: i64,
    /// The version now.
    pub to: i64,
}

/// The last version that a migrator knows.
pub(super) fn known(migrator: &Migrator) -> i64 {
    migrator.iter().map(|migration| migration.version).max().unwrap_or(0)
}

/// Refuses a schema that a later version made. Running nodes are not concerned: migrations are
/// written so that the version before keeps working on them, and only a start is refused.
pub(super) fn refuse_newer(found: i64, migrator: &Migrator) -> Result<(), SchemaError> {
    let known = known(migrator);
    if found > known { Err(SchemaError::Newer { found, known }) } else { Ok(()) }
}

/// Accepts exactly the version that this binary needs.
pub(super) fn require_exact(found: i64, migrator: &Migrator) -> Result<(), SchemaError> {
    refuse_newer(found, migrator)?;
    let known = known(migrator);
    match found {
        0 => Err(SchemaError::Missing),
        found if found < known => Err(SchemaError::Older { found, known }),
        _ => Ok(()),
    }
}
