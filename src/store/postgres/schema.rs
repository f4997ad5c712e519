//! Migrations on Postgres. An advisory lock serializes nodes that start at the same time. It
//! belongs to a transaction, because a session lock, as sqlx takes it, would stay behind on a
//! connection of a transaction pooler, and every later start would wait for it.

use std::borrow::Cow;

use sqlx::{
    Connection, PgConnection,
    error::DatabaseError,
    migrate::{MigrateError, Migrator},
};

use super::{
    fault::{fault, is_denial, is_passing, is_refusal},
    moment::Moment,
    partitions,
    pool::Primary,
    session::OpenError,
};
use crate::{
    domain::{Random, TagKey, Timestamp},
    store::{
        driver_error::DriverError,
        migrate::{Migrated, SchemaError, known, refuse_newer, require_exact},
    },
};

static MIGRATOR: Migrator = sqlx::migrate!("migrations/postgres");

/// Tables of the first migrations. If one exists in a database that Jeton never migrated, it
/// belongs to another application.
const TABLES: [&str; 8] = [
    "installation",
    "client",
    "client_secret",
    "access_token",
    "revoked_token",
    "change",
    "node",
    "audit",
];

/// SQLSTATE of a query on a table that does not exist.
const UNDEFINED_TABLE: &str = "42P01";

/// Applies the missing migrations, generates the key of a new installation, and creates the first
/// partitions. Uses connections outside the pools, because a pool may be limited to one.
pub(super) async fn migrate(
    primary: &Primary,
    now: Timestamp,
    random: &dyn Random,
) -> Result<Migrated, SchemaError> {
    let from = version(primary).await?;
    refuse_newer(from, &MIGRATOR)?;
    let mut lock = lock(primary).await?;
    refuse_foreign(&mut lock).await?;
    let mut connection = connect(primary).await?;
    unlocked().run_direct(None, &mut connection, false).await.map_err(failed)?;
    make_installation(&mut connection, now, random).await?;
    partitions::make(&mut connection, now).await?;
    let _ = connection.close().await;
    sqlx::query("commit").execute(&mut lock).await.map_err(fault)?;
    let _ = lock.close().await;
    Ok(Migrated { from, to: known(&MIGRATOR) })
}

/// Version of the schema that this binary is built for, as a node tells it to the others.
pub(super) fn version_of_this_binary() -> i32 {
    i32::try_from(known(&MIGRATOR)).unwrap_or(i32::MAX)
}

/// Opens a connection outside the pools. Distinguishes a refusal from a database that is down.
pub(super) async fn connect(primary: &Primary) -> Result<PgConnection, SchemaError> {
    match primary.route.connect().await {
        Ok((connection, _)) => Ok(connection),
        Err(OpenError::Connect(error)) => Err(sorted(error)),
        Err(error) => Err(error.into_fault().into()),
    }
}

/// Opens a connection with a transaction that holds the lock.
async fn lock(primary: &Primary) -> Result<PgConnection, SchemaError> {
    let mut connection = connect(primary).await?;
    sqlx::raw_sql(
        "begin;
         set local statement_timeout = 0;
         set local lock_timeout = 0;
         set local idle_in_transaction_session_timeout = 0;
         select pg_advisory_xact_lock(7160834520119)",
    )
    .execute(&mut connection)
    .await
    .map_err(fault)?;
    Ok(connection)
}

/// Classifies the error of a migration. A migration that waited too long for a table in use can be
/// retried.
fn failed(error: MigrateError) -> SchemaError {
    match error {
        MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _)
            if is_passing(&error) =>
        {
            fault(error).into()
        }
        MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _)
            if is_denial(&error) =>
        {
            SchemaError::MayNotMigrate(DriverError(error))
        }
        MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _) => {
            SchemaError::Migration(DriverError(error).into())
        }
        error => SchemaError::Migration(error.into()),
    }
}

/// The migrations, without the advisory lock of sqlx.
fn unlocked() -> Migrator {
    let mut migrator =
        Migrator { migrations: Cow::Borrowed(&MIGRATOR.migrations), ..Migrator::DEFAULT };
    migrator.set_locking(false);
    migrator
}

/// Fails unless the schema is exactly the version that this binary needs. If a migration is in
/// progress, waits for it.
pub(super) async fn check(primary: &Primary) -> Result<(), SchemaError> {
    let found = version(primary).await?;
    if found >= known(&MIGRATOR) {
        return require_exact(found, &MIGRATOR);
    }
    let lock = lock(primary).await?;
    lock.close().await.map_err(fault)?;
    require_exact(version(primary).await?, &MIGRATOR)
}

/// Refuses a version that is later than this binary knows, and 0.
pub(super) fn refuse_unknown(version: i64) -> Result<(), SchemaError> {
    match require_exact(version, &MIGRATOR) {
        Err(SchemaError::Older { .. }) => Ok(()),
        checked => checked,
    }
}

async fn refuse_foreign(connection: &mut PgConnection) -> Result<(), SchemaError> {
    let is_foreign: bool = sqlx::query_scalar(
        "select to_regclass('_sqlx_migrations') is null and exists
             (select from unnest($1::text[]) as name where to_regclass(name) is not null)",
    )
    .bind(&TABLES[..])
    .fetch_one(connection)
    .await
    .map_err(fault)?;
    if is_foreign { Err(SchemaError::Foreign) } else { Ok(()) }
}

fn sorted(error: sqlx::Error) -> SchemaError {
    if is_refusal(&error) {
        refused(error)
    } else if is_denial(&error) {
        SchemaError::Forbidden(DriverError(error))
    } else {
        fault(error).into()
    }
}

/// Tells apart what the server refused.
fn refused(error: sqlx::Error) -> SchemaError {
    let code = error.as_database_error().and_then(DatabaseError::code);
    let remedy = match code.as_deref() {
        Some("28P01") => {
            "correct the password of the role: it comes from --database-password-file, from \
             --database-url or from the password file of libpq"
        }
        Some("3D000") => return SchemaError::NoDatabase(DriverError(error)),
        _ => {
            "correct the role in --database-url; it must exist, be allowed to log in, and be \
             admitted by pg_hba.conf of the server"
        }
    };
    SchemaError::Refused { remedy, source: DriverError(error) }
}

async fn version(primary: &Primary) -> Result<i64, SchemaError> {
    let mut connection = connect(primary).await?;
    let version: Result<Option<i64>, _> =
        sqlx::query_scalar("select max(version) from _sqlx_migrations where success")
            .fetch_one(&mut connection)
            .await;
    let version = match version {
        Ok(version) => version.unwrap_or(0),
        Err(sqlx::Error::Database(error)) if error.code().as_deref() == Some(UNDEFINED_TABLE) => {
            if let Some(schema) = hidden_schema(&mut connection).await.map_err(sorted)? {
                return Err(SchemaError::NotVisible(schema));
            }
            0
        }
        Err(error) => return Err(sorted(error)),
    };
    let _ = connection.close().await;
    Ok(version)
}

/// Finds a schema with our tables that this role may not use. The role does not see these tables,
/// so without this check the error would ask to migrate an empty database.
async fn hidden_schema(connection: &mut PgConnection) -> Result<Option<String>, sqlx::Error> {
    sqlx::query_scalar(
        "select relnamespace::regnamespace::text from pg_class
         where relname = 'access_token' and relkind = 'p'
           and not has_schema_privilege(relnamespace, 'USAGE')",
    )
    .fetch_optional(connection)
    .await
}

async fn make_installation(
    connection: &mut PgConnection,
    now: Timestamp,
    random: &dyn Random,
) -> Result<(), SchemaError> {
    let key = TagKey::generate(random)?;
    sqlx::query(
        "insert into installation (tag_key, created_at) values ($1, $2)
         on conflict on constraint installation_pk do nothing",
    )
    .bind(&key.as_bytes()[..])
    .bind(Moment(now))
    .execute(connection)
    .await
    .map_err(fault)?;
    Ok(())
}
