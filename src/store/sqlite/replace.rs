//! Another file in the place of the embedded database.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use super::{SqliteStore, schema};
use crate::data_dir::{self, Lock};

/// The right to put another file in the place of an embedded database. No process of Jeton uses the
/// database as long as this is held, and none begins to.
#[derive(Debug)]
pub struct Replacement {
    file: PathBuf,
    _alone: Lock,
}

impl Replacement {
    /// Takes the place in a data directory, which exists; none if a process uses it.
    ///
    /// # Errors
    /// What the system says.
    pub fn begin(directory: &Path) -> io::Result<Option<Self>> {
        let file = SqliteStore::file_in(directory);
        let alone = schema::hold_alone(&file)?;
        Ok(alone.map(|alone| Self { file, _alone: alone }))
    }

    /// The file that is to be replaced, if there is one.
    #[must_use]
    pub fn present(&self) -> Option<&Path> {
        self.file.exists().then_some(&*self.file)
    }

    /// Moves what is there into a folder of its own, where it can be used as a data directory, and
    /// puts the staged file in its place. A write-ahead log that is left there belongs to the file
    /// that it was written for: beside another one it would be read into that.
    ///
    /// # Errors
    /// What the system says. The staged file is in place as a whole or not at all.
    pub fn put(self, staged: &Path, kept: &Path) -> io::Result<()> {
        let (log, index) = (schema::beside(&self.file, "-wal"), schema::beside(&self.file, "-shm"));
        if self.file.exists() {
            data_dir::create_folder(kept)?;
            let old = SqliteStore::file_in(kept);
            if log.exists() {
                fs::rename(&log, schema::beside(&old, "-wal"))?;
            }
            // With a second name, the place is never empty. Some file systems have none.
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
