//! Who else can reach a file: checks of directories, of files in them, and of private keys.

use std::{
    fs::{self, File, Metadata},
    io::{self, ErrorKind, Read},
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::Path,
};

use rustix::process::geteuid;
use zeroize::Zeroizing;

use super::{of, parent};

/// Permission bits of the group and of all others.
const ALL_BUT_THE_OWNER: u32 = 0o077;

const ROOT: u32 = 0;

/// Maximum size of a file that holds a key, a password or a secret, in bytes.
const LARGEST_PRIVATE: u64 = 1024 * 1024;

/// User who works in a directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Worker {
    /// A command, which root may run in the directory of a service.
    Command,
    /// A node or a shim. It trusts and serves what it finds, so it must not run as root on files
    /// that another user controls.
    Service,
}

/// Checks that no other user can put files into an existing directory: it belongs to this user or
/// to root, and no one else may write to it. The group may if root owns the directory, as with a
/// Kubernetes volume with `fsGroup`. A missing directory is not checked.
///
/// # Errors
/// `PermissionDenied`, with what to do.
pub(crate) fn check(path: &Path, worker: Worker) -> io::Result<()> {
    let directory = match fs::metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        found => found.map_err(|error| of(path, &error))?,
    };
    let (owner, user) = (directory.uid(), geteuid().as_raw());
    let is_root_at_work = user == ROOT && worker == Worker::Command;
    if ![user, ROOT].contains(&owner) && !is_root_at_work {
        let advice = format!("belongs to user {owner}: run this as that user, not as user {user}");
        return Err(denied(path, &advice));
    }
    let for_others = if owner == ROOT { 0o002 } else { 0o022 };
    if directory.mode() & for_others != 0 {
        let advice = "can be written to by other users, who could put files of theirs there: run \
                      chmod 700 on it, or name a new directory inside it";
        return Err(denied(path, advice));
    }
    Ok(())
}

/// Checks a file or a directory in the data directory before something opens it that follows
/// symbolic links: it is no link, and belongs to this user, to root or to the owner of the
/// directory it is in. A missing one is not checked.
///
/// # Errors
/// `PermissionDenied`, with what to do.
pub(crate) fn check_entry(path: &Path) -> io::Result<()> {
    let entry = match fs::symlink_metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        found => found.map_err(|error| of(path, &error))?,
    };
    if entry.is_symlink() {
        return Err(denied(path, "is a symbolic link: replace it by the file itself"));
    }
    let directory = fs::metadata(parent(path)).map_err(|error| of(path, &error))?;
    let owner = entry.uid();
    if ![geteuid().as_raw(), ROOT, directory.uid()].contains(&owner) {
        let advice =
            format!("belongs to user {owner}: remove it, or chown it to the user of Jeton");
        return Err(denied(path, &advice));
    }
    Ok(())
}

/// Sets the mode of a file in the data directory to 0600 if others than its owner have access.
/// Ignores a missing file.
pub(crate) fn restrict(path: &Path) -> io::Result<()> {
    check_entry(path)?;
    let mode = match fs::symlink_metadata(path) {
        Ok(metadata) => metadata.permissions().mode(),
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(of(path, &error)),
    };
    if mode & ALL_BUT_THE_OWNER == 0 {
        return Ok(());
    }
    let private = fs::Permissions::from_mode(0o600);
    fs::set_permissions(path, private).map_err(|error| of(path, &error))
}

/// Reads a file that holds a key, a password or a secret. As in libpq, other users must have no
/// access to it; if root owns it, its group may read it, as with a mounted secret. It may be a
/// symbolic link, as it is there, or a pipe.
///
/// # Errors
/// `PermissionDenied` with what to do, and the errors of the system, without the path.
pub(crate) fn read_private(path: &Path) -> io::Result<Zeroizing<Vec<u8>>> {
    let file = File::open(path)?;
    check_private(&file.metadata()?)?;
    read(file)
}

/// The same for a file that this user or root must own, because it says where secrets go. Owner and
/// mode are those of the file that is read, and not of one that has its name by then.
///
/// # Errors
/// As those of [`read_private`].
pub(crate) fn read_own(path: &Path) -> io::Result<Zeroizing<Vec<u8>>> {
    let file = File::open(path)?;
    let opened = file.metadata()?;
    let (owner, user) = (opened.uid(), geteuid().as_raw());
    if ![user, ROOT].contains(&owner) {
        let advice = format!("it belongs to user {owner}: it must be your own, user {user}");
        return Err(io::Error::new(ErrorKind::PermissionDenied, advice));
    }
    check_private(&opened)?;
    read(file)
}

fn read(file: File) -> io::Result<Zeroizing<Vec<u8>>> {
    let mut text = Zeroizing::new(Vec::new());
    file.take(LARGEST_PRIVATE + 1).read_to_end(&mut text)?;
    if text.len() as u64 > LARGEST_PRIVATE {
        return Err(io::Error::new(ErrorKind::FileTooLarge, "it is larger than a megabyte"));
    }
    Ok(text)
}

fn check_private(file: &Metadata) -> io::Result<()> {
    let for_others = if file.uid() == ROOT { 0o037 } else { ALL_BUT_THE_OWNER };
    if file.is_file() && file.mode() & for_others != 0 {
        return Err(io::Error::new(
            ErrorKind::PermissionDenied,
            format!(
                "its mode is {:04o}, so other users have access to it: run chmod 600 on it, or \
                 mount it as a file of root with mode 0440 and the group of Jeton",
                file.mode() & 0o7777
            ),
        ));
    }
    Ok(())
}

fn denied(path: &Path, advice: &str) -> io::Error {
    let text = format!("{} {advice}", path.display());
    io::Error::new(ErrorKind::PermissionDenied, text)
}
