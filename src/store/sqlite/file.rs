//! The file of the embedded database: which one it is, and that nobody replaces it meanwhile.

use std::{os::unix::fs::MetadataExt, sync::PoisonError};

use super::{FileId, SqliteStore};
use crate::{data_dir::Lock, domain::Error};

impl SqliteStore {
    fn file_id(&self) -> Option<FileId> {
        let metadata = std::fs::metadata(&self.path).ok()?;
        Some((metadata.dev(), metadata.ino()))
    }

    /// Holds the file from now on, and remembers which one it is.
    pub(super) fn hold(&self, in_use: Lock) {
        *self.in_use.lock().unwrap_or_else(PoisonError::into_inner) = Some(in_use);
        *self.opened.lock().unwrap_or_else(PoisonError::into_inner) = self.file_id();
    }

    /// Whether what was just written is still to be found. A file that was removed or replaced
    /// takes writes as before, and nobody will ever read them: they must not be acknowledged.
    pub(super) fn still_there(&self) -> Result<(), Error> {
        let opened = *self.opened.lock().unwrap_or_else(PoisonError::into_inner);
        if opened.is_none() || opened == self.file_id() {
            return Ok(());
        }
        Err(Error::unavailable(
            "the file of the database was removed or replaced: restart the node",
        ))
    }
}
