//! Secrets and tokens in arbitrary text, found by their form; who made them is asked for each.

use std::{
    collections::HashMap,
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
};

use anyhow::Context;
use zeroize::Zeroizing;

use crate::cli::administration::{Found, Text};

/// Number of bytes of a secret and of a token.
const LENGTH: usize = 79;

/// Number of bytes that are read at once.
const CHUNK: usize = 64 * 1024;

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
    /// Searches these files, or standard input if there are none. `made_here` tells whether this
    /// installation made a text.
    pub(super) async fn in_files(
        files: &[PathBuf],
        made_here: &impl AsyncFn(&Text) -> anyhow::Result<bool>,
    ) -> anyhow::Result<Self> {
        let mut findings = Self::default();
        if files.is_empty() {
            findings.add("-", "standard input", &mut io::stdin(), made_here).await?;
        }
        for path in files {
            let name = name(path);
            let mut file = File::open(path).with_context(|| format!("{name} cannot be read"))?;
            findings.add(&name, &name, &mut file, made_here).await?;
        }
        Ok(findings)
    }

    /// Searches one text, which need not be UTF-8, and need not fit into memory. `spoken` is its
    /// name in errors.
    pub(super) async fn add(
        &mut self,
        name: &str,
        spoken: &str,
        text: &mut dyn Read,
        made_here: &impl AsyncFn(&Text) -> anyhow::Result<bool>,
    ) -> anyhow::Result<()> {
        let mut buffer = Zeroizing::new(vec![0; CHUNK + LENGTH]);
        let (mut held, mut line) = (0, 1_u64);
        loop {
            let read = match text.read(&mut buffer[held..]) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                read => read.with_context(|| format!("{spoken} cannot be read"))?,
            };
            let (mut at, end) = (0, held + read);
            while at + LENGTH <= end {
                if let Some(text) = candidate(&buffer[at..at + LENGTH]) {
                    if made_here(&text).await? {
                        self.note(text.found(), name, line);
                        at += LENGTH;
                        continue;
                    }
                    self.others += 1;
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

/// The text, if it has the form of a secret or a token.
fn candidate(text: &[u8]) -> Option<Text> {
    if !text.starts_with(b"jt") {
        return None;
    }
    Text::parse(str::from_utf8(text).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{ClientSecret, SeededRandom, TagKey, TagKeys, Timestamp, TokenText};
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

    /// Searches a text as an installation with these keys does.
    fn search(text: &mut dyn Read, keys: &TagKeys) -> Findings {
        let made_here = async |text: &Text| Ok(text.has_tag_of(keys));
        let mut findings = Findings::default();
        let search = findings.add("a", "a", text, &made_here);
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(search).unwrap();
        findings
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
            let findings = search(&mut Pieces(&text, piece), &keys);
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
        let findings = search(&mut text.as_bytes(), &keys(7));
        assert!(findings.ours.is_empty());
        assert_eq!(findings.others, 2);
    }
}
