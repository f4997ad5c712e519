//! A file as a tree of values with positions, the same for TOML and YAML. The reader of a field
//! decides which kinds of values it accepts.

use std::{fmt::Display, fs::File, io::Read, path::Path};

use anyhow::Context;

use super::{
    position::{Position, Positions},
    toml, yaml,
};
use crate::{
    cli::{exit::Exit, tagged_text},
    domain::is_unprintable,
};

/// Maximum size of a file. 10,000 clients take a few MiB.
const MAX_BYTES: u64 = 64 << 20;

/// Language of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(in crate::cli) enum Format {
    Toml,
    Yaml,
}

/// A value and where it stands.
#[derive(Debug, Clone)]
pub(in crate::cli) struct Node {
    pub(super) at: Position,
    pub(super) value: Value,
}

#[derive(Debug, Clone)]
pub(super) enum Value {
    /// A quoted text.
    Text(String),
    /// A scalar of YAML without quotes: a text, a number, or true or false, as its field wants.
    Plain(String),
    Number(i64),
    Flag(bool),
    List(Vec<Node>),
    Table(Vec<Member>),
    /// Nothing that a field accepts, such as a date.
    Other(&'static str),
}

impl Value {
    /// The kind of the value, for messages.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Text(_) => "a text",
            Self::Plain(text) if is_null(text) => "no value",
            Self::Plain(_) => "a text or a number",
            Self::Number(_) => "a number",
            Self::Flag(_) => "true or false",
            Self::List(_) => "a list",
            Self::Table(_) => "a table",
            Self::Other(kind) => kind,
        }
    }
}

/// What YAML takes for the absence of a value.
pub(super) fn is_null(plain: &str) -> bool {
    matches!(plain, "" | "~" | "null" | "Null" | "NULL")
}

/// A key of a table with its value.
#[derive(Debug, Clone)]
pub(super) struct Member {
    pub(super) key: String,
    pub(super) at: Position,
    pub(super) node: Node,
}

/// A file that was read.
#[derive(Debug)]
pub(in crate::cli) struct Document {
    /// Name of the file, for messages.
    pub(super) name: String,
    pub(super) root: Node,
}

impl Document {
    /// Reads a file.
    ///
    /// # Errors
    /// If it is not text of this language, or has a secret or an unprintable character in it. The
    /// message has line and column, and never repeats a value.
    pub(in crate::cli) fn read(path: &Path, format: Format) -> anyhow::Result<Self> {
        let name = path.display().to_string();
        let unreadable = || format!("{name} cannot be read");
        let mut text = Vec::new();
        // A device has no length, and may have no end.
        let file = File::open(path).with_context(unreadable)?;
        let read = file.take(MAX_BYTES + 1).read_to_end(&mut text).with_context(unreadable)?;
        if u64::try_from(read).is_ok_and(|read| read > MAX_BYTES) {
            return Err(Exit::Usage.error(format!("{name} is larger than 64 MiB")));
        }
        let text = String::from_utf8(text)
            .map_err(|_| Exit::Usage.error(format!("{name} is not text in UTF-8")))?;
        let positions = Positions::of(&text);
        let refused = |offset, why: &str| Err(fault(&name, positions.at(offset), why));
        if let Some(offset) = tagged_text::first_in(&text) {
            return refused(
                offset,
                "there is a secret or a token in this file: replace it, because everyone who can \
                 read the file has it, and take it out",
            );
        }
        let is_bad = |c| is_unprintable(c) && !matches!(c, '\n' | '\r' | '\t');
        if let Some((offset, c)) = text.char_indices().find(|(_, c)| is_bad(*c)) {
            let why = format!(
                "U+{:04X} is a control character or invisible, so the file does not read as it \
                 looks: remove it",
                u32::from(c)
            );
            return refused(offset, &why);
        }
        let root = match format {
            Format::Toml => toml::parse(&text, &positions),
            Format::Yaml => yaml::parse(&text),
        };
        let root = root.map_err(|(at, why)| fault(&name, at, why))?;
        Ok(Self { name, root })
    }
}

/// An error at a position in a file.
pub(super) fn fault(name: &str, at: Position, why: impl Display) -> anyhow::Error {
    Exit::Usage.error(format!("{name}:{at}: {why}"))
}
