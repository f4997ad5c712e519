//! The password file, `~/.pgpass`, as libpq reads it.
//!
//! The driver reads it too, but it logs lines that it cannot parse, and it looks up another host if
//! the server is reached through a socket or by its address.

use std::{fs, io::ErrorKind, os::unix::fs::PermissionsExt, path::Path};

use zeroize::Zeroizing;

use super::Environment;

/// Key with which a password is looked up.
pub(super) struct Entry<'a> {
    /// Names of the server that a line may use.
    pub(super) hosts: &'a [&'a str],
    pub(super) port: u16,
    pub(super) database: &'a str,
    pub(super) user: &'a str,
}

/// Contents of the password files: first the one that `PGPASSFILE` names, then the one in the home
/// directory.
pub(super) struct PasswordFiles(Vec<Zeroizing<Vec<u8>>>);

impl PasswordFiles {
    /// Reads the files that exist. A file that other users can access is skipped with a warning.
    pub(super) fn read(environment: &Environment<'_>) -> Self {
        let named = environment.variable("PGPASSFILE").map(Into::into);
        let own = environment.home.as_ref().map(|home| home.join(".pgpass"));
        Self(named.into_iter().chain(own).filter_map(|path| read(&path)).collect())
    }

    /// Returns the password of the first line that matches.
    pub(super) fn find(&self, entry: &Entry<'_>) -> Option<String> {
        let lines = self.0.iter().flat_map(|file| file.split(|byte| *byte == b'\n'));
        lines.filter_map(|line| str::from_utf8(line).ok()).find_map(|line| password(line, entry))
    }
}

fn read(path: &Path) -> Option<Zeroizing<Vec<u8>>> {
    let warn = |why: &str| {
        tracing::warn!(path = %path.display(), "the password file is skipped: {why}");
    };
    match fs::metadata(path) {
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {}
        Err(error) => warn(&error.to_string()),
        Ok(metadata) if !metadata.is_file() => warn("it is not a regular file"),
        Ok(metadata) if metadata.permissions().mode() & 0o077 != 0 => {
            warn("other users have access to it; run chmod 600 on it");
        }
        Ok(_) => match fs::read(path) {
            Ok(text) => return Some(Zeroizing::new(text)),
            Err(error) => warn(&error.to_string()),
        },
    }
    None
}

/// Returns the password of a line if its four fields match.
fn password(line: &str, entry: &Entry<'_>) -> Option<String> {
    let line = line.strip_suffix('\r').unwrap_or(line);
    if line.starts_with('#') {
        return None;
    }
    let mut rest = line;
    let port = entry.port.to_string();
    for allowed in [entry.hosts, &[&port], &[entry.database], &[entry.user]] {
        let end = end_of_field(rest)?;
        let field = &rest[..end];
        if field != "*" && !allowed.contains(&&*unescaped(field)) {
            return None;
        }
        rest = &rest[end + 1..];
    }
    // libpq would end a password at a colon without a backslash before it. Files with such a colon
    // have worked here, so it stays part of the password.
    Some(unescaped(rest))
}

/// Position of the colon that ends a field: the first one that is not escaped by a backslash.
fn end_of_field(text: &str) -> Option<usize> {
    let mut is_escaped = false;
    text.bytes().position(|byte| {
        let ends = byte == b':' && !is_escaped;
        is_escaped = byte == b'\\' && !is_escaped;
        ends
    })
}

fn unescaped(text: &str) -> String {
    let mut characters = text.chars();
    let mut plain = String::with_capacity(text.len());
    while let Some(character) = characters.next() {
        let is_escape = character == '\\';
        plain.extend(if is_escape { characters.next() } else { Some(character) });
    }
    plain
}
