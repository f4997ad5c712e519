//! The file that holds the password of the database.

use std::{fs, io, path::Path};

use zeroize::Zeroizing;

use crate::data_dir;

/// Maximum size of the file, in bytes.
const LARGEST: usize = 4_096;

/// Why the password cannot be taken from the file. Messages never quote the file.
#[derive(Debug, thiserror::Error)]
pub(super) enum PasswordFileError {
    /// The file cannot be read, or users who are not meant to know the password can read it.
    #[error("it cannot be used")]
    Unusable(#[from] io::Error),
    /// It is a directory, a pipe or the like.
    #[error("it is not a regular file")]
    NotAFile,
    /// It holds no password.
    #[error("it must hold the password alone, as one line of UTF-8 text of at most 4096 bytes")]
    NoPassword,
}

/// Reads a password: the one line of a file that others than its owner cannot read.
pub(super) fn read(path: &Path) -> Result<Zeroizing<String>, PasswordFileError> {
    if !fs::metadata(path)?.is_file() {
        return Err(PasswordFileError::NotAFile);
    }
    let text = data_dir::read_private(path)?;
    let text = str::from_utf8(&text).map_err(|_| PasswordFileError::NoPassword)?;
    let line = text.strip_suffix('\n').unwrap_or(text);
    let line = line.strip_suffix('\r').unwrap_or(line);
    if line.is_empty() || text.len() > LARGEST || line.contains(['\n', '\r', '\0']) {
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
            let password = read(&path).map(|password| password.to_string());
            password.map_err(|error| crate::domain::chain(&error))
        };
        for content in ["p@ss w%rd", "p@ss w%rd\n", "p@ss w%rd\r\n"] {
            assert_eq!(attempt(content.as_bytes(), 0o600).unwrap(), "p@ss w%rd");
        }
        for mode in [0o604, 0o602, 0o620, 0o666] {
            let refused = attempt(b"canary", mode).unwrap_err();
            assert!(refused.contains("other users have access"), "{mode:o}: {refused}");
        }
        let large = vec![b'a'; 4_097];
        for content in [&b""[..], b"\n", b"two\nlines", b"nul\0", b"\xff", &large] {
            assert!(attempt(content, 0o600).unwrap_err().starts_with("it must hold"));
        }
        assert!(matches!(read(folder.path()), Err(PasswordFileError::NotAFile)));
        assert!(matches!(read(&folder.path().join("x")), Err(PasswordFileError::Unusable(_))));
    }
}
