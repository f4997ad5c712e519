//! Files of the data directory. They contain hashes and keys, so only their owner may read them.
//! Several processes may work in one directory at the same time, so there are locks, and a new file
//! or directory appears complete or not at all.

mod access;

use std::{
    fs::{self, DirBuilder, File, OpenOptions, TryLockError},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, fchown},
    path::{Path, PathBuf},
    time::Duration,
};

use rustix::fs::OFlags;
use tokio::time::{Instant, sleep};

pub(crate) use self::access::{Worker, check, check_entry, read_own, read_private, restrict};

/// Interval between attempts to take a lock that another process holds. A thread that blocked in
/// the lock call could not be stopped, and would keep a command from ending at its deadline.
const BEAT: Duration = Duration::from_millis(10);

/// Time after which a wait for a lock is logged.
const SILENCE: Duration = Duration::from_secs(2);

/// Creates a directory with mode 0700, and its parents. An existing directory is left as it is.
pub(crate) fn make(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(|error| of(path, &error))
}

/// Creates a file with mode 0600, owned like its directory. Fails if the file exists.
pub(crate) fn create(path: &Path) -> io::Result<File> {
    let file = options().create_new(true).open(path).map_err(|error| of(path, &error))?;
    give_to_owner(&file, path)?;
    Ok(file)
}

/// Creates a directory with mode 0700, owned like its parent. Fails if the directory exists.
pub(crate) fn create_folder(path: &Path) -> io::Result<()> {
    DirBuilder::new().mode(0o700).create(path).map_err(|error| of(path, &error))?;
    let flags = no_link() | i32::try_from(OFlags::DIRECTORY.bits()).unwrap_or(0);
    let opened = OpenOptions::new().read(true).custom_flags(flags).open(path);
    give_to_owner(&opened.map_err(|error| of(path, &error))?, path)
}

/// Gives a file that root has created to the owner of its directory, so that a command run as root
/// in the directory of a service leaves no files that the service cannot open. Only for files that
/// were just created: an existing one may be a link that an attacker has prepared.
fn give_to_owner(file: &File, path: &Path) -> io::Result<()> {
    let directory = parent(path);
    let directory = fs::metadata(directory).map_err(|error| of(directory, &error))?;
    if rustix::process::geteuid().is_root() && directory.uid() != 0 {
        fchown(file, Some(directory.uid()), Some(directory.gid()))?;
    }
    Ok(())
}

/// Flushes a directory to disk, so that its entries survive a power cut.
pub(crate) fn sync(directory: &Path) -> io::Result<()> {
    File::open(directory).and_then(|directory| directory.sync_all())
}

/// A lock on a file, held until it is dropped or its process ends.
#[derive(Debug)]
pub(crate) struct Lock(#[expect(dead_code, reason = "open files hold their locks")] File);

impl Lock {
    /// Waits until no other process holds the lock, shared or exclusive, and takes it exclusively.
    pub(crate) async fn exclusive(path: &Path) -> io::Result<Self> {
        Self::wait(path, Self::try_exclusive).await
    }

    /// Waits until no other process holds the lock exclusively, and takes it shared.
    pub(crate) async fn shared(path: &Path) -> io::Result<Self> {
        Self::wait(path, |path| Self::attempt(path, File::try_lock_shared)).await
    }

    /// Takes the lock exclusively without waiting; `None` if it is held elsewhere.
    pub(crate) fn try_exclusive(path: &Path) -> io::Result<Option<Self>> {
        Self::attempt(path, File::try_lock)
    }

    /// Whether another process holds the lock exclusively. A missing file counts as not held.
    pub(crate) fn is_held(path: &Path) -> bool {
        path.exists() && matches!(Self::attempt(path, File::try_lock_shared), Ok(None))
    }

    async fn wait(
        path: &Path,
        attempt: impl Fn(&Path) -> io::Result<Option<Self>>,
    ) -> io::Result<Self> {
        let began = Instant::now();
        let mut told = false;
        loop {
            if let Some(lock) = attempt(path)? {
                return Ok(lock);
            }
            if !told && began.elapsed() > SILENCE {
                tracing::warn!(lock = %path.display(), "another process holds the lock; waiting");
                told = true;
            }
            sleep(BEAT).await;
        }
    }

    fn attempt(
        path: &Path,
        lock: impl Fn(&File) -> Result<(), TryLockError>,
    ) -> io::Result<Option<Self>> {
        let file = match create(path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                options().open(path).map_err(|error| of(path, &error))?
            }
            made => made?,
        };
        match lock(&file) {
            Ok(()) => Ok(Some(Self(file))),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(of(path, &error)),
        }
    }
}

/// Neither follows a symbolic link nor truncates: another user may have put the file there.
fn options() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).write(true).mode(0o600).custom_flags(no_link());
    options
}

fn no_link() -> i32 {
    i32::try_from(OFlags::NOFOLLOW.bits()).unwrap_or(0)
}

/// Adds the path to an error of the operating system, which omits it.
fn of(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

/// A file or directory that is not complete yet. It is removed on drop unless it got its name.
#[derive(Debug)]
pub(crate) struct Draft {
    path: PathBuf,
    kept: bool,
}

impl Draft {
    /// Creates a directory `name` in `directory`, with mode 0700. One that an interrupted process
    /// left behind is removed first, so the caller must hold a lock.
    pub(crate) fn folder(directory: &Path, name: &str) -> io::Result<Self> {
        let path = directory.join(name);
        match fs::remove_dir_all(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(of(&path, &error)),
            _ => create_folder(&path)?,
        }
        Ok(Self { path, kept: false })
    }

    /// Creates an empty file with mode 0600 beside `file`, the name that it will get.
    pub(crate) fn file_beside(file: &Path) -> io::Result<Self> {
        for number in 0..100 {
            let mut name = file.file_name().unwrap_or_default().to_owned();
            name.push(format!(".partial-{number}"));
            let path = file.with_file_name(name);
            match options().create_new(true).open(&path) {
                Ok(_) => return Ok(Self { path, kept: false }),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => (),
                Err(error) => return Err(of(&path, &error)),
            }
        }
        Err(of(file, &io::ErrorKind::AlreadyExists.into()))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Writes the file, and not another one to which somebody made a link of its name meanwhile.
    pub(crate) fn write(&self, text: &str) -> io::Result<()> {
        options().truncate(true).open(&self.path)?.write_all(text.as_bytes())
    }

    /// Gives a file its name. Fails if the name is taken.
    pub(crate) fn become_file(mut self, file: &Path) -> io::Result<()> {
        File::open(&self.path)?.sync_all()?;
        match fs::hard_link(&self.path, file) {
            Ok(()) => fs::remove_file(&self.path)?,
            // Some file systems have no hard links. A rename would replace an existing file, so
            // check that there is none.
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists && !file.exists() => {
                fs::rename(&self.path, file)?;
            }
            Err(error) => return Err(of(file, &error)),
        }
        self.kept = true;
        sync(parent(file))
    }

    /// Gives a file its name, in place of another that has it.
    pub(crate) fn replace_file(mut self, file: &Path) -> io::Result<()> {
        File::open(&self.path)?.sync_all()?;
        fs::rename(&self.path, file)?;
        self.kept = true;
        sync(parent(file))
    }

    /// Gives a directory its name.
    pub(crate) fn become_folder(mut self, folder: &Path) -> io::Result<()> {
        sync(&self.path)?;
        fs::rename(&self.path, folder)?;
        self.kept = true;
        sync(parent(folder))
    }
}

/// Directory that contains `path`; `.` for a bare file name.
pub(crate) fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        if self.kept {
            return;
        }
        let removed = if self.path.is_dir() {
            fs::remove_dir_all(&self.path)
        } else {
            fs::remove_file(&self.path)
        };
        drop(removed);
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[tokio::test]
    async fn a_lock_does_not_follow_a_link_and_does_not_truncate() {
        let folder = tempfile::tempdir().unwrap();
        let victim = folder.path().join("victim");
        fs::write(&victim, "precious").unwrap();
        let link = folder.path().join("link");
        symlink(&victim, &link).unwrap();
        let refused = Lock::exclusive(&link).await.unwrap_err().to_string();
        assert!(refused.contains("link"), "{refused}");
        drop(Lock::exclusive(&victim).await.unwrap());
        assert_eq!(fs::read_to_string(&victim).unwrap(), "precious");
    }

    #[tokio::test]
    async fn a_lock_is_exclusive_or_shared_and_waits() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        let first = Lock::shared(&path).await.unwrap();
        let second = Lock::shared(&path).await.unwrap();
        assert_eq!(mode(&path), 0o600);
        assert!(!Lock::is_held(&path));
        assert!(Lock::try_exclusive(&path).unwrap().is_none());
        let waiting = tokio::spawn({
            let path = path.clone();
            async move { Lock::exclusive(&path).await.unwrap() }
        });
        drop((first, second));
        let exclusive = waiting.await.unwrap();
        assert!(Lock::is_held(&path));
        drop(exclusive);
        assert!(!Lock::is_held(&path));
    }

    #[test]
    fn a_draft_is_gone_unless_it_is_kept_and_replaces_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        drop(Draft::file_beside(&file).unwrap());
        drop(Draft::folder(folder.path(), "made").unwrap());
        fs::create_dir(folder.path().join("made")).unwrap();
        fs::write(folder.path().join("made/left"), "by a process that was killed").unwrap();
        drop(Draft::folder(folder.path(), "made").unwrap());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
        let draft = Draft::file_beside(&file).unwrap();
        assert_eq!(mode(draft.path()), 0o600);
        draft.become_file(&file).unwrap();
        Draft::file_beside(&file).unwrap().become_file(&file).unwrap_err();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
