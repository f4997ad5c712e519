//! The password file, `~/.pgpass`, as libpq reads it.
//!
//! The driver reads it too, but writes a line that it does not understand into the log, and looks
//! for another host when the server is reached through a socket or by its address.

use std::{fs, io::ErrorKind, os::unix::fs::PermissionsExt, path::Path};

use zeroize::Zeroizing;

use super::Environment;

/// Whom a password is looked for.
pub(super) struct Entry<'a> {
    /// What a line may call the server: one of these.
    pub(super) hosts: &'a [&'a str],
    pub(super) port: u16,
    pub(super) database: &'a str,
    pub(super) user: &'a str,
}

/// The lines of the password files: first that of `PGPASSFILE`, then that of the user.
pub(super) struct PasswordFiles(Vec<Zeroizing<Vec<u8>>>);

impl PasswordFiles {
    /// Reads those that there are. One that others could read is left out, with a warning.
    pub(super) fn read(environment: &Environment<'_>) -> Self {
        let named = environment.variable("PGPASSFILE").map(Into::into);
        let own = environment.home.as_ref().map(|home| home.join(".pgpass"));
        Self(named.into_iter().chain(own).filter_map(|path| read(&path)).collect())
    }

    /// The password of the first line that matches.
    pub(super) fn find(&self, entry: &Entry<'_>) -> Option<String> {
        let lines = self.0.iter().flat_map(|file| file.split(|byte| *byte == b'\n'));
        lines.filter_map(|line| str::from_utf8(line).ok()).find_map(|line| password(line, entry))
    }
}

fn read(path: &Path) -> Option<Zeroizing<Vec<u8>>> {
    let warn = |why: &str| {
        tracing::warn!(path = %path.display(), "the password file is left out: {why}");
    };
    match fs::metadata(path) {
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {}
        Err(error) => warn(&error.to_string()),
        Ok(metadata) if !metadata.is_file() => warn("it is not a regular file"),
        Ok(metadata) if metadata.permissions().mode() & 0o077 != 0 => {
            warn("others have access to it; chmod 600 takes that from them");
        }
        Ok(_) => match fs::read(path) {
            Ok(text) => return Some(Zeroizing::new(text)),
            Err(error) => warn(&error.to_string()),
        },
    }
    None
}

/// What stands behind the four fields of a line, if they match.
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
    // libpq would end a password at a colon that has no backslash before it. Files with one have
    // worked here, so it stays a part of the password.
    Some(unescaped(rest))
}

/// Where the colon is that ends a field: the first one that has no backslash before it.
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
