//! Secrets and tokens in arbitrary text, found by their form and their tag.

use std::{
    collections::HashMap,
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
};

use anyhow::Context;
use zeroize::Zeroizing;

use crate::domain::{ClientSecret, SecretId, TagKeys, TokenId, TokenText};

/// Number of bytes of a secret and of a token.
const LENGTH: usize = 79;

/// Number of bytes that are read at once.
const CHUNK: usize = 64 * 1024;

/// A secret or a token, by the id in its text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Found {
    Secret(SecretId),
    Token(TokenId),
}

/// A text in the form of a secret or a token.
enum Candidate {
    /// Made by this installation.
    Ours(Found),
    /// Made elsewhere, or by nobody.
    Other,
}

/// Where a secret or a token was found.
#[derive(Debug)]
pub(super) struct Finding {
    pub(super) found: Found,
    /// File and line of the first place, as `FILE:LINE`.
    pub(super) first: String,
    /// Number of places.
    pub(super) places: u64,
}

/// What was found in some texts.
#[derive(Debug, Default)]
pub(super) struct Findings {
    /// Each secret and each token once, in the order of their first places.
    pub(super) ours: Vec<Finding>,
    /// Number of texts that have the form of a secret or a token, but not the tag.
    pub(super) others: u64,
    known: HashMap<Found, usize>,
}

impl Findings {
    /// Searches these files, or standard input if there are none.
    pub(super) fn in_files(files: &[PathBuf], keys: &TagKeys) -> anyhow::Result<Self> {
        let mut findings = Self::default();
        if files.is_empty() {
            let read = findings.add("-", &mut io::stdin().lock(), keys);
            read.context("standard input cannot be read")?;
        }
        for path in files {
            let named = || format!("{} cannot be read", path.display());
            let mut file = File::open(path).with_context(named)?;
            findings.add(&name(path), &mut file, keys).with_context(named)?;
        }
        Ok(findings)
    }

    /// Searches one text, which need not be UTF-8, and need not fit into memory.
    pub(super) fn add(
        &mut self,
        name: &str,
        text: &mut dyn Read,
        keys: &TagKeys,
    ) -> io::Result<()> {
        let mut buffer = Zeroizing::new(vec![0; CHUNK + LENGTH]);
        let (mut held, mut line) = (0, 1_u64);
        loop {
            let read = match text.read(&mut buffer[held..]) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                read => read?,
            };
            let (mut at, end) = (0, held + read);
            while at + LENGTH <= end {
                match candidate(&buffer[at..at + LENGTH], keys) {
                    Some(Candidate::Ours(found)) => {
                        self.note(found, name, line);
                        at += LENGTH;
                        continue;
                    }
                    Some(Candidate::Other) => self.others += 1,
                    None => {}
                }
                line += u64::from(buffer[at] == b'\n');
                at += 1;
            }
            if read == 0 {
                return Ok(());
            }
            // The rest may be the beginning of one.
            buffer.copy_within(at..end, 0);
            held = end - at;
        }
    }

    fn note(&mut self, found: Found, name: &str, line: u64) {
        let next = self.ours.len();
        let at = *self.known.entry(found).or_insert(next);
        match self.ours.get_mut(at) {
            Some(finding) => finding.places += 1,
            None => self.ours.push(Finding { found, first: format!("{name}:{line}"), places: 1 }),
        }
    }
}

fn name(path: &Path) -> String {
    path.display().to_string()
}

/// Whether this text has the form of a secret or a token, and whether this installation made it.
fn candidate(text: &[u8], keys: &TagKeys) -> Option<Candidate> {
    if !text.starts_with(b"jt") {
        return None;
    }
    let text = str::from_utf8(text).ok()?;
    let (is_ours, found) = if let Ok(secret) = ClientSecret::parse(text) {
        (secret.has_tag_of(keys), Found::Secret(secret.id()))
    } else {
        let token = TokenText::parse(text).ok()?;
        (token.has_tag_of(keys), Found::Token(token.id()))
    };
    Some(if is_ours { Candidate::Ours(found) } else { Candidate::Other })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{SeededRandom, TagKey, Timestamp};
    use proptest::prelude::*;

    fn keys(byte: u8) -> TagKeys {
        TagKeys::new(TagKey::from_bytes([byte; 32]), None)
    }

    /// Gives what it has in pieces of this size.
    struct Pieces<'a>(&'a [u8], usize);

    impl Read for Pieces<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let size = self.1.min(self.0.len()).min(buffer.len());
            let (piece, rest) = self.0.split_at(size);
            buffer[..size].copy_from_slice(piece);
            self.0 = rest;
            Ok(size)
        }
    }

    proptest! {
        #[test]
        fn whatever_is_around_a_secret_or_a_token_it_is_found_in_its_line(
            before in proptest::collection::vec(any::<u8>(), 0..400),
            between in "(jt[as]_|[a-z_\\n]){0,40}",
            after in "[A-Za-z0-9_-]{0,90}",
            piece in 1..200_usize,
        ) {
            let (keys, random) = (keys(7), SeededRandom::default());
            let secret = ClientSecret::generate(&random, keys.current()).unwrap();
            let token = Timestamp::from_unix_micros(1_800_000_000_000_000);
            let token = TokenText::mint(token, &random, keys.current()).unwrap();
            let mut text = before;
            let lines = |text: &[u8]| text.split(|byte| *byte == b'\n').count();
            let first = format!("a:{}", lines(&text));
            text.extend_from_slice(secret.expose().as_bytes());
            text.extend_from_slice(between.as_bytes());
            let second = format!("a:{}", lines(&text));
            text.extend_from_slice(token.expose().as_bytes());
            text.extend_from_slice(secret.expose().as_bytes());
            text.extend_from_slice(after.as_bytes());
            let mut findings = Findings::default();
            findings.add("a", &mut Pieces(&text, piece), &keys).unwrap();
            let ours: Vec<_> = findings
                .ours
                .iter()
                .map(|finding| (finding.found, finding.first.as_str(), finding.places))
                .collect();
            prop_assert_eq!(ours, [
                (Found::Secret(secret.id()), first.as_str(), 2),
                (Found::Token(token.id()), second.as_str(), 1),
            ]);
        }
    }

    #[test]
    fn what_another_installation_made_is_counted_and_not_named() {
        let random = SeededRandom::default();
        let other = ClientSecret::generate(&random, keys(8).current()).unwrap();
        let text = format!("{0} {0} jts_{1}", other.expose(), "A".repeat(74));
        let mut findings = Findings::default();
        findings.add("-", &mut text.as_bytes(), &keys(7)).unwrap();
        assert!(findings.ours.is_empty());
        assert_eq!(findings.others, 2);
    }
}
