//! Replacement of the embedded database by another file.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use super::{SqliteStore, schema};
use crate::data_dir::{self, Lock};

/// Exclusive right to replace an embedded database. While it is held, no Jeton process uses the
/// database or starts to use it.
#[derive(Debug)]
pub struct Replacement {
    file: PathBuf,
    _alone: Lock,
}

impl Replacement {
    /// Acquires the right for a data directory, which must exist. Returns `None` if a process uses
    /// the database.
    ///
    /// # Errors
    /// The I/O error of the system.
    pub fn begin(directory: &Path) -> io::Result<Option<Self>> {
        let file = SqliteStore::file_in(directory);
        let alone = schema::hold_alone(&file)?;
        Ok(alone.map(|alone| Self { file, _alone: alone }))
    }

    /// Path of the file to replace, if it exists.
    #[must_use]
    pub fn present(&self) -> Option<&Path> {
        self.file.exists().then_some(&*self.file)
    }

    /// Moves the present database into the folder `kept`, which can then be used as a data
    /// directory, and moves the file `staged` into its place. A write-ahead log that is left behind
    /// is deleted, because SQLite would apply it to the new file although it belongs to the old
    /// one.
    ///
    /// # Errors
    /// The I/O error of the system. The staged file is in place completely or not at all.
    pub fn put(self, staged: &Path, kept: &Path) -> io::Result<()> {
        let (log, index) = (schema::beside(&self.file, "-wal"), schema::beside(&self.file, "-shm"));
        if self.file.exists() {
            data_dir::create_folder(kept)?;
            let old = SqliteStore::file_in(kept);
            if log.exists() {
                fs::rename(&log, schema::beside(&old, "-wal"))?;
            }
            // A hard link keeps a file in place at all times. Some file systems have no hard links.
            fs::hard_link(&self.file, &old).or_else(|_| fs::rename(&self.file, &old))?;
            data_dir::sync(kept)?;
        }
        for left in [&log, &index] {
            match fs::remove_file(left) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => (),
            }
        }
        fs::rename(staged, &self.file)?;
        data_dir::sync(data_dir::parent(&self.file))
    }
}
