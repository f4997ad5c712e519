//! Migrations on Postgres. An advisory lock puts nodes that start at once one after the other. It
//! is held by a transaction: one of a session, as sqlx takes it, stays behind on some connection of
//! a pooler that pools by transaction, and every later start waits for it.

use std::borrow::Cow;

use sqlx::{Connection, PgConnection, PgPool, migrate::Migrator};

use super::{
    fault::{fault, is_refusal},
    moment, partitions,
    pool::Pool,
};
use crate::{
    domain::{Random, RandomFailed, Timestamp},
    store::migrate::{Migrated, SchemaError, known, refuse_newer, require_exact},
};

static MIGRATOR: Migrator = sqlx::migrate!("migrations/postgres");

/// The database does not know the table that is asked for.
const UNDEFINED_TABLE: &str = "42P01";

/// Brings the schema up to date, gives a new installation its key, and makes the first partitions.
pub(super) async fn migrate(
    pool: &Pool,
    now: Timestamp,
    random: &dyn Random,
) -> Result<Migrated, SchemaError> {
    let from = version(pool).await?;
    refuse_newer(from, &MIGRATOR)?;
    let mut locked = lock(pool).await.map_err(fault)?;
    let pool = &pool.get();
    unlocked().run(pool).await.map_err(SchemaError::Migration)?;
    make_installation(pool, now, random).await?;
    partitions::upkeep(pool, now).await?;
    sqlx::query("commit").execute(&mut locked).await.map_err(fault)?;
    Ok(Migrated { from, to: known(&MIGRATOR) })
}

/// A connection in a transaction that holds the lock, beside the pool, which may have one place.
async fn lock(pool: &Pool) -> Result<PgConnection, sqlx::Error> {
    let mut connection = pool.connect().await?;
    sqlx::raw_sql(
        "begin;
         set local statement_timeout = 0;
         set local idle_in_transaction_session_timeout = 0;
         select pg_advisory_xact_lock(7160834520119)",
    )
    .execute(&mut connection)
    .await?;
    Ok(connection)
}

/// The migrations, without the lock of sqlx.
fn unlocked() -> Migrator {
    let mut migrator =
        Migrator { migrations: Cow::Borrowed(&MIGRATOR.migrations), ..Migrator::DEFAULT };
    migrator.set_locking(false);
    migrator
}

/// Refuses every version but the one that this binary needs.
pub(super) async fn check(pool: &Pool) -> Result<(), SchemaError> {
    require_exact(version(pool).await?, &MIGRATOR)
}

async fn version(pool: &Pool) -> Result<i64, SchemaError> {
    let asked = async {
        let mut connection = pool.connect().await?;
        let version: Option<i64> =
            sqlx::query_scalar("select max(version) from _sqlx_migrations where success")
                .fetch_one(&mut connection)
                .await?;
        connection.close().await?;
        Ok(version)
    };
    match asked.await {
        Ok(version) => Ok(version.unwrap_or(0)),
        Err(sqlx::Error::Database(error)) if error.code().as_deref() == Some(UNDEFINED_TABLE) => {
            Ok(0)
        }
        Err(error) if is_refusal(&error) => Err(SchemaError::Refused(error)),
        Err(error) => Err(fault(error).into()),
    }
}

async fn make_installation(
    pool: &PgPool,
    now: Timestamp,
    random: &dyn Random,
) -> Result<(), SchemaError> {
    let key = new_key(random)?;
    sqlx::query(
        "insert into installation (tag_key, created_at) values ($1, $2)
         on conflict on constraint installation_pk do nothing",
    )
    .bind(key.as_slice())
    .bind(moment(now))
    .execute(pool)
    .await
    .map_err(fault)?;
    Ok(())
}

fn new_key(random: &dyn Random) -> Result<[u8; 32], RandomFailed> {
    let mut key = [0; 32];
    random.fill(&mut key)?;
    Ok(key)
}
