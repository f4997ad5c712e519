//! Identity of the database file, to detect that it was removed or replaced.

use std::{os::unix::fs::MetadataExt, sync::PoisonError};

use super::{FileId, SqliteStore};
use crate::{data_dir::Lock, domain::Error};

impl SqliteStore {
    fn file_id(&self) -> Option<FileId> {
        let metadata = std::fs::metadata(&self.path).ok()?;
        Some((metadata.dev(), metadata.ino()))
    }

    /// Keeps the lock from now on, and records the identity of the file.
    pub(super) fn hold(&self, in_use: Lock) {
        *self.in_use.lock().unwrap_or_else(PoisonError::into_inner) = Some(in_use);
        *self.opened.lock().unwrap_or_else(PoisonError::into_inner) = self.file_id();
    }

    /// Fails if the file was removed or replaced. Writes to such a file still succeed but cannot be
    /// read any more, so they must not be acknowledged.
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
