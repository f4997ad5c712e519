//! The file that holds the password of the database.

use std::{
    fs::File,
    io::{self, Read},
    os::unix::fs::MetadataExt,
    path::Path,
};

use zeroize::Zeroizing;

/// Maximum size of the file, in bytes.
const LARGEST: u64 = 4_096;

/// Why the password cannot be taken from the file. Messages never quote the file.
#[derive(Debug, thiserror::Error)]
pub(super) enum PasswordFileError {
    /// The file cannot be read.
    #[error("it cannot be read")]
    Unreadable(#[from] io::Error),
    /// It is a directory, a pipe or the like.
    #[error("it is not a regular file")]
    NotAFile,
    /// Users who are not meant to know the password can read it.
    #[error(
        "other users have access to it: run chmod 600 on it, or chmod 640 if it belongs to root \
         and this process reads it as a member of its group"
    )]
    Exposed,
    /// It holds no password.
    #[error("it must hold the password alone, as one line of UTF-8 text of at most 4096 bytes")]
    NoPassword,
}

/// Reads a password: the one line of a file that others than its owner cannot read. As with the
/// keys of libpq, a file of root may be readable by its group.
pub(super) fn read(path: &Path) -> Result<Zeroizing<String>, PasswordFileError> {
    let file = File::open(path)?;
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(PasswordFileError::NotAFile);
    }
    let forbidden = if metadata.uid() == 0 { 0o037 } else { 0o077 };
    if metadata.mode() & forbidden != 0 {
        return Err(PasswordFileError::Exposed);
    }
    let mut text = Zeroizing::new(String::new());
    let read = file.take(LARGEST + 1).read_to_string(&mut text);
    read.map_err(|error| match error.kind() {
        io::ErrorKind::InvalidData => PasswordFileError::NoPassword,
        _ => PasswordFileError::Unreadable(error),
    })?;
    let line = text.strip_suffix('\n').unwrap_or(&text);
    let line = line.strip_suffix('\r').unwrap_or(line);
    if line.is_empty() || text.len() as u64 > LARGEST || line.contains(['\n', '\r', '\0']) {
        return Err(PasswordFileError::NoPassword);
    }
    Ok(Zeroizing::new(line.to_owned()))
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt};

    use super::*;

    #[test]
    fn a_password_is_one_line_that_others_cannot_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("password");
        let attempt = |content: &[u8], mode: u32| {
            fs::write(&path, content).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            read(&path).map(|password| password.to_string()).map_err(|error| error.to_string())
        };
        for content in ["p@ss w%rd", "p@ss w%rd\n", "p@ss w%rd\r\n"] {
            assert_eq!(attempt(content.as_bytes(), 0o600).unwrap(), "p@ss w%rd");
        }
        for mode in [0o604, 0o602, 0o620, 0o666] {
            assert!(attempt(b"canary", mode).unwrap_err().starts_with("other users"), "{mode:o}");
        }
        let large = vec![b'a'; 4_097];
        for content in [&b""[..], b"\n", b"two\nlines", b"nul\0", b"\xff", &large] {
            assert!(attempt(content, 0o600).unwrap_err().starts_with("it must hold"));
        }
        assert!(matches!(read(folder.path()), Err(PasswordFileError::NotAFile)));
        assert!(matches!(read(&folder.path().join("x")), Err(PasswordFileError::Unreadable(_))));
    }
}
