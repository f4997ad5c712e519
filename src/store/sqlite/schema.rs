//! Migrations on SQLite. A lock on a file beside the database puts processes that start at once
//! one after the other, which SQLite itself does not.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

use sqlx::{SqlitePool, migrate::Migrator};

use super::fault::fault;
use crate::{
    domain::{Random, RandomFailed, Timestamp},
    store::migrate::{Migrated, SchemaError, known, refuse_newer, require_exact},
};

static MIGRATOR: Migrator = sqlx::migrate!("migrations/sqlite");

/// Brings the schema up to date and gives a new installation its key.
pub(super) async fn migrate(
    pool: &SqlitePool,
    path: &Path,
    now: Timestamp,
    random: &dyn Random,
) -> Result<Migrated, SchemaError> {
    let _lock = lock_beside(path.to_owned()).await.map_err(SchemaError::DataDirectory)?;
    let from = version(pool).await?;
    refuse_newer(from, &MIGRATOR)?;
    MIGRATOR.run(pool).await.map_err(SchemaError::Migration)?;
    make_installation(pool, now, random).await?;
    restrict(path).map_err(SchemaError::DataDirectory)?;
    Ok(Migrated { from, to: known(&MIGRATOR) })
}

/// Refuses every version but the one that this binary needs.
pub(super) async fn check(pool: &SqlitePool) -> Result<(), SchemaError> {
    require_exact(version(pool).await?, &MIGRATOR)
}

/// The lock is held until the file is dropped, or its process dies.
async fn lock_beside(database: PathBuf) -> io::Result<File> {
    let locked = tokio::task::spawn_blocking(move || {
        let file = File::create(database.with_extension("migrate-lock"))?;
        file.lock()?;
        Ok(file)
    });
    locked.await.map_err(io::Error::other)?
}

/// The file holds hashes and the tag key: it is for its owner alone.
#[cfg(unix)]
fn restrict(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(path, fs::Permissions::from_mode(0o600))
}

#[cfg(not(unix))]
fn restrict(path: &Path) -> io::Result<()> {
    fs::metadata(path).map(|_| ())
}

async fn version(pool: &SqlitePool) -> Result<i64, SchemaError> {
    let exists: bool = sqlx::query_scalar(
        "select exists (select 1 from sqlite_master where name = '_sqlx_migrations')",
    )
    .fetch_one(pool)
    .await
    .map_err(fault)?;
    if !exists {
        return Ok(0);
    }
    let version: Option<i64> =
        sqlx::query_scalar("select max(version) from _sqlx_migrations where success")
            .fetch_one(pool)
            .await
            .map_err(fault)?;
    Ok(version.unwrap_or(0))
}

async fn make_installation(
    pool: &SqlitePool,
    now: Timestamp,
    random: &dyn Random,
) -> Result<(), SchemaError> {
    let key = new_key(random)?;
    sqlx::query(
        "insert into installation (singleton, tag_key, created_at) values (1, $1, $2)
         on conflict do nothing",
    )
    .bind(key.as_slice())
    .bind(now.unix_micros())
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
