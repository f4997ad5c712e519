//! Restores a backup of the embedded database. The database is prepared in a draft directory beside
//! its place and then moved there, so that no node ever starts on one that is half restored.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, bail, ensure};

use super::{Restored, finish, unusable};
use crate::{
    cli::{backup::program::tell_growth, exit::Exit, node, output, target::Target},
    data_dir::{self, Draft, Worker},
    domain::{Actor, Clock, OsRandom, SystemClock},
    store::{MaintainedStore, Replacement, SchemaStore, SqliteStore},
};

/// Message if the restore times out.
pub(super) const UNDECIDED: &str = "The database was not changed.";

/// Message if another process has the database open.
const IN_USE: &str = "a node or a command is using the database: stop the nodes first";

pub(super) async fn restore(
    backup: &Path,
    target: &Target,
    replace: bool,
    actor: &Actor,
) -> anyhow::Result<Restored> {
    let directory = &target.database.directory.data_dir;
    File::open(backup).with_context(|| format!("{} cannot be read", backup.display()))?;
    refuse_half_of_a_database(backup)?;
    node::make_directory(&target.database.directory, Worker::Command)?;
    let place = Replacement::begin(directory).context("the data directory cannot be used")?;
    let place = place.ok_or_else(|| Exit::Conflict.error(IN_USE))?;
    if let Some(present) = place.present() {
        if !replace {
            return Err(Exit::Conflict.error(format!(
                "{} already exists: name another --data-dir, or use --replace, which keeps it in \
                 a directory beside it",
                present.display()
            )));
        }
        make_one_file(present).await?;
    }
    let draft = Draft::folder(directory, "restoring").context("the restore cannot be prepared")?;
    let staged = SqliteStore::file_in(draft.path());
    copy(backup, &staged).await?;
    let looked = SqliteStore::look_over(&staged, None).await;
    looked.map_err(|error| unusable(backup, error))?;

    let store = SqliteStore::in_directory(draft.path(), 1, Duration::from_secs(5));
    store.migrate(SystemClock.now(), &OsRandom).await.context("the backup cannot be migrated")?;
    let finished = finish(&store, actor).await?;
    store.close().await;
    ensure!(SqliteStore::make_one_file(&staged).await?, IN_USE);
    File::open(&staged).and_then(|file| file.sync_all())?;

    let kept = kept_beside(directory, place.present().is_some());
    place
        .put(&staged, &kept.clone().unwrap_or_default())
        .context("the restored database cannot be moved to its place")?;
    Ok(Restored { finished, kept })
}

/// Refuses a database file that has a write-ahead log beside it: the newest rows are in that log. A
/// backup never has one.
fn refuse_half_of_a_database(backup: &Path) -> anyhow::Result<()> {
    let mut log = backup.as_os_str().to_owned();
    log.push("-wal");
    let log = PathBuf::from(log);
    let length = fs::metadata(&log).map_or(0, |metadata| metadata.len());
    ensure!(
        length == 0,
        "{} has a write-ahead log beside it: it is a database that was copied or is in use, not a \
         backup. Put both files into one directory, as jeton.db and jeton.db-wal, and back that \
         up with `jeton backup --data-dir`",
        backup.display()
    );
    Ok(())
}

/// Moves the rows in the write-ahead log of the present database into its one file. A database that
/// cannot be read is kept with its log, unchanged.
async fn make_one_file(present: &Path) -> anyhow::Result<()> {
    match SqliteStore::make_one_file(present).await {
        Ok(true) => Ok(()),
        Ok(false) => bail!("{IN_USE}, and close other programs that have opened it"),
        Err(error) => {
            let cause = crate::domain::chain(&error);
            output::remark(&format!(
                "The present database cannot be read and is kept as it is: {}",
                output::printable(&cause)
            ));
            Ok(())
        }
    }
}

async fn copy(backup: &Path, staged: &Path) -> anyhow::Result<()> {
    let (from, to) = (backup.to_owned(), staged.to_owned());
    let copying = tokio::task::spawn_blocking(move || {
        let mut from = File::open(from)?;
        io::copy(&mut from, &mut data_dir::create(&to)?)
    });
    let copied = tokio::select! {
        copied = copying => copied?,
        () = tell_growth(Some(staged)) => bail!("an endless wait returned"),
    };
    copied.with_context(|| format!("{} cannot be read", backup.display()))?;
    Ok(())
}

/// Directory for the replaced database, named after the current time; `None` if there was none.
fn kept_beside(directory: &Path, is_needed: bool) -> Option<PathBuf> {
    let moment = SystemClock.now().to_string().replace(['-', ':'], "");
    is_needed.then(|| directory.join(format!("before-restore-{moment}")))
}
