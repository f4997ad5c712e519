//! Migrations on SQLite. A lock file beside the database serializes processes that start at the
//! same time. SQLite itself does not.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use sqlx::{SqliteConnection, SqlitePool, migrate::Migrator};

use super::fault::fault;
use crate::{
    data_dir::{self, Lock},
    domain::{Random, TagKey, Timestamp},
    store::{
        Obstacle,
        migrate::{Migrated, SchemaError, known, refuse_newer, require_exact},
    },
};

static MIGRATOR: Migrator = sqlx::migrate!("migrations/sqlite");

/// Extension of the lock file that a process holds exclusively to create or migrate the database.
const MIGRATING: &str = "migrate-lock";

/// Extension of the lock file that every process shares while it uses the database, and that a
/// process holds exclusively to replace it.
const IN_USE: &str = "lock";

/// Applies the missing migrations and generates the key of a new installation. Creates the file if
/// it does not exist. Returns the lock that marks the file as in use.
pub(super) async fn migrate(
    pool: &SqlitePool,
    path: &Path,
    now: Timestamp,
    random: &dyn Random,
) -> Result<(Migrated, Lock), SchemaError> {
    let _migrating = lock(path, MIGRATING, Use::Alone).await?;
    let in_use = lock(path, IN_USE, Use::BesideOthers).await?;
    let is_left_alone = make_file(path).map_err(SchemaError::DataDirectory)?;
    let from = version(pool).await?;
    refuse_newer(from, &MIGRATOR)?;
    if from == 0 {
        refuse_foreign(pool).await?;
    }
    if from == 0 && is_left_alone {
        tracing::warn!(
            file = %path.display(),
            "the database is empty although its file is not new: if the file is a copy, it was \
             made without its write-ahead log, and only the original has the missing data"
        );
    }
    MIGRATOR.run(pool).await.map_err(|error| SchemaError::Migration(error.into()))?;
    make_installation(pool, now, random).await?;
    Ok((Migrated { from, to: known(&MIGRATOR) }, in_use))
}

/// Fails unless the schema is exactly the version that this binary needs. Creates nothing. If
/// another process is creating, migrating or replacing the file, waits for it.
pub(super) async fn check(pool: &SqlitePool, path: &Path) -> Result<Lock, SchemaError> {
    if !(path.exists() || lock_file(path, MIGRATING).exists() || lock_file(path, IN_USE).exists()) {
        return Err(SchemaError::Missing);
    }
    check_files(path).map_err(SchemaError::DataDirectory)?;
    let in_use = lock(path, IN_USE, Use::BesideOthers).await?;
    if found(pool, path).await.ok() != Some(known(&MIGRATOR)) {
        drop(lock(path, MIGRATING, Use::BesideOthers).await?);
        require_exact(found(pool, path).await?, &MIGRATOR)?;
    }
    Ok(in_use)
}

/// Takes the lock under which the file may be replaced. Returns `None` if a process uses the file.
pub(super) fn hold_alone(path: &Path) -> io::Result<Option<Lock>> {
    Lock::try_exclusive(&lock_file(path, IN_USE))
}

/// Lists what other processes are doing that a command has to wait for.
pub(super) fn obstacles(path: &Path) -> Vec<Obstacle> {
    let held = |name, obstacle| Lock::is_held(&lock_file(path, name)).then_some(obstacle);
    let all = [held(MIGRATING, Obstacle::Migration), held(IN_USE, Obstacle::Replacement)];
    all.into_iter().flatten().collect()
}

/// Mode of a lock.
#[derive(Clone, Copy)]
enum Use {
    Alone,
    BesideOthers,
}

fn lock_file(database: &Path, name: &str) -> PathBuf {
    database.with_extension(name)
}

async fn lock(database: &Path, name: &str, way: Use) -> Result<Lock, SchemaError> {
    let path = lock_file(database, name);
    let locked = match way {
        Use::Alone => Lock::exclusive(&path).await,
        Use::BesideOthers => Lock::shared(&path).await,
    };
    locked.map_err(SchemaError::DataDirectory)
}

/// Creates the file with access for its owner only, before SQLite opens it, because SQLite gives
/// the write-ahead log and its index the mode of the database. Returns whether a file existed that
/// was not empty and had no write-ahead log. A first start that was interrupted leaves both.
fn make_file(path: &Path) -> io::Result<bool> {
    check_files(path)?;
    match data_dir::create(path) {
        Ok(_) => Ok(false),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            let log = beside(path, "-wal");
            for file in [path, &log, &beside(path, "-shm")] {
                data_dir::restrict(file)?;
            }
            Ok(fs::metadata(path)?.len() > 0 && !log.exists())
        }
        Err(error) => Err(error),
    }
}

/// Checks the files that SQLite is about to open. It follows a link to the database itself, and
/// opens the others without following links.
pub(super) fn check_files(path: &Path) -> io::Result<()> {
    let beside = ["-wal", "-shm", "-journal"].map(|suffix| beside(path, suffix));
    data_dir::check_entry(path)?;
    beside.iter().try_for_each(|file| data_dir::check_entry(file))
}

/// Path of a file that SQLite keeps beside the database, such as the write-ahead log.
pub(super) fn beside(database: &Path, suffix: &str) -> PathBuf {
    let mut name = database.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// Schema version of the file; 0 if it does not exist or is empty.
async fn found(pool: &SqlitePool, path: &Path) -> Result<i64, SchemaError> {
    match fs::metadata(path) {
        Ok(metadata) if metadata.len() > 0 => version(pool).await,
        Ok(_) => Ok(0),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(0),
        Err(error) => Err(SchemaError::DataDirectory(error)),
    }
}

async fn refuse_foreign(pool: &SqlitePool) -> Result<(), SchemaError> {
    let is_foreign: bool = sqlx::query_scalar(
        "select exists (select 1 from sqlite_master
                        where type = 'table' and name not like 'sqlite%'
                          and name <> '_sqlx_migrations')",
    )
    .fetch_one(pool)
    .await
    .map_err(fault)?;
    if is_foreign { Err(SchemaError::Foreign) } else { Ok(()) }
}

async fn version(pool: &SqlitePool) -> Result<i64, SchemaError> {
    version_on(&mut *pool.acquire().await.map_err(fault)?).await
}

async fn version_on(connection: &mut SqliteConnection) -> Result<i64, SchemaError> {
    let exists: bool = sqlx::query_scalar(
        "select exists (select 1 from sqlite_master where name = '_sqlx_migrations')",
    )
    .fetch_one(&mut *connection)
    .await
    .map_err(fault)?;
    if !exists {
        return Ok(0);
    }
    let version: Option<i64> =
        sqlx::query_scalar("select max(version) from _sqlx_migrations where success")
            .fetch_one(connection)
            .await
            .map_err(fault)?;
    Ok(version.unwrap_or(0))
}

/// Fails unless the schema has the version of this binary.
pub(super) async fn require_current(connection: &mut SqliteConnection) -> Result<(), SchemaError> {
    require_exact(version_on(connection).await?, &MIGRATOR)
}

/// Whether a copy has the schema version of this binary. An older version is false, any other an
/// error.
pub(super) async fn is_current(copy: &mut SqliteConnection) -> Result<bool, SchemaError> {
    match require_current(copy).await {
        Ok(()) => Ok(true),
        Err(SchemaError::Older { .. }) => Ok(false),
        Err(error) => Err(error),
    }
}

async fn make_installation(
    pool: &SqlitePool,
    now: Timestamp,
    random: &dyn Random,
) -> Result<(), SchemaError> {
    let key = TagKey::generate(random)?;
    sqlx::query(
        "insert into installation (singleton, tag_key, created_at) values (1, $1, $2)
         on conflict do nothing",
    )
    .bind(&key.as_bytes()[..])
    .bind(now.unix_micros())
    .execute(pool)
    .await
    .map_err(fault)?;
    Ok(())
}
