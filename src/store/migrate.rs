//! Schema versions: migrated or checked before a node serves.

use sqlx::migrate::Migrator;

use super::driver_error::{DriverError, MISSING_PRIVILEGE};
use crate::domain::{Cause, Error, RandomFailed};

/// Why the schema cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SchemaError {
    /// A later version of Jeton migrated the database. This binary does not know what it changed.
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
    /// Migrations are missing, and the caller asked not to apply them.
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
    /// There is no Jeton database here. It is not created implicitly, because an operator who named
    /// the wrong place would then see an empty registry.
    #[error(
        "there is no Jeton database here: choose another with --data-dir or --database-url, or \
         create one with `jeton migrate`"
    )]
    Missing,
    /// The database holds tables of the same names that Jeton did not create.
    #[error("there are tables that Jeton did not make: give it a database of its own")]
    Foreign,
    /// A migration failed. Each runs in a transaction, so the failed one changed nothing.
    #[error("a migration failed")]
    Migration(#[source] Cause),
    /// No random key could be generated for a new installation.
    #[error(transparent)]
    Random(#[from] RandomFailed),
    /// The database does not answer, or refuses a statement.
    #[error("the database cannot be used")]
    Database(#[from] Error),
    /// The server has no database of this name.
    #[error("there is no such database: correct its name in --database-url, or create it")]
    NoDatabase(#[source] DriverError),
    /// The database refuses the role or its password. Retrying does not help.
    #[error("the database refuses the connection: {remedy}")]
    Refused {
        /// What to correct.
        remedy: &'static str,
        /// What the server said.
        source: DriverError,
    },
    /// The role may connect but lacks a privilege.
    #[error("{MISSING_PRIVILEGE}")]
    Forbidden(#[source] DriverError),
    /// The role may connect but may not change the schema.
    #[error(
        "the role of --database-url may not change the schema: run `jeton migrate` as the owner of \
         the tables, and start nodes with --no-migrate"
    )]
    MayNotMigrate(#[source] DriverError),
    /// The tables are in a schema that the role may not use.
    #[error(
        "the tables of Jeton are in schema {0}, which the role of --database-url may not use: run \
         the output of `jeton migrate --print-roles` as the owner of the tables or as a superuser"
    )]
    NotVisible(String),
    /// The embedded database cannot be created or locked.
    #[error("the data directory cannot be used")]
    DataDirectory(#[source] std::io::Error),
}

/// Result of a migration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Migrated {
    /// Schema version before; 0 for an empty database.
    pub from: i64,
    /// Schema version after.
    pub to: i64,
}

/// Latest version that a migrator knows.
pub(super) fn known(migrator: &Migrator) -> i64 {
    migrator.iter().map(|migration| migration.version).max().unwrap_or(0)
}

/// Refuses a schema that a later version of Jeton migrated. Only a start is refused. Nodes that
/// already run are unaffected, because each migration keeps the previous version working.
pub(super) fn refuse_newer(found: i64, migrator: &Migrator) -> Result<(), SchemaError> {
    let known = known(migrator);
    if found > known { Err(SchemaError::Newer { found, known }) } else { Ok(()) }
}

/// Fails unless `found` is exactly the version that this binary needs.
pub(super) fn require_exact(found: i64, migrator: &Migrator) -> Result<(), SchemaError> {
    refuse_newer(found, migrator)?;
    let known = known(migrator);
    match found {
        0 => Err(SchemaError::Missing),
        found if found < known => Err(SchemaError::Older { found, known }),
        _ => Ok(()),
    }
}
