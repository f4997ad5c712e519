//! A clock for processes, which a test can set while they run, by libfaketime (the package
//! `faketime` of Debian, which `./test` installs).

use std::{fs, os::unix::fs::PermissionsExt, path::Path};

use tempfile::TempDir;

const LIBRARIES: [&str; 4] = [
    "/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1",
    "/usr/lib/aarch64-linux-gnu/faketime/libfaketime.so.1",
    "/usr/lib64/faketime/libfaketime.so.1",
    "/usr/lib/faketime/libfaketime.so.1",
];

/// A clock that shows the time of the system, or another by so many seconds.
pub(crate) struct Clock {
    library: &'static str,
    folder: TempDir,
}

impl Clock {
    /// A clock that is right. None where libfaketime is missing.
    pub(crate) fn new() -> Option<Self> {
        let library = LIBRARIES.into_iter().find(|library| Path::new(library).exists())?;
        let folder = tempfile::tempdir().unwrap();
        // Postgres runs as another user and reads it too.
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let clock = Self { library, folder };
        clock.set(0);
        Some(clock)
    }

    /// Sets it ahead of the system by so many seconds, or behind it.
    pub(crate) fn set(&self, ahead: i64) {
        // It is read at any moment, so there must be a whole file at any moment.
        let new = self.folder.path().join("new");
        fs::write(&new, format!("{ahead:+}s\n")).unwrap();
        fs::rename(new, self.folder.path().join("offset")).unwrap();
    }

    /// What makes a process go by this clock. Its monotonic clock is left alone, as it is when
    /// somebody sets the clock of a machine.
    pub(crate) fn environment(&self) -> [(&'static str, String); 4] {
        [
            ("LD_PRELOAD", self.library.to_owned()),
            ("FAKETIME_TIMESTAMP_FILE", self.folder.path().join("offset").display().to_string()),
            ("FAKETIME_NO_CACHE", "1".to_owned()),
            ("DONT_FAKE_MONOTONIC", "1".to_owned()),
        ]
    }
}
