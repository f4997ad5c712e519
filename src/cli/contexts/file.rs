//! The file of contexts: where it is, who may change it, and what it says.

use std::{
    collections::BTreeMap,
    env, fmt,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, anyhow};
use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, Visitor},
};

use super::Entry;
use crate::{
    cli::exit::Exit,
    config::nearest,
    data_dir::{self, Worker},
};

/// The key above the sections that names one of them.
pub(super) const CURRENT: &str = "current";

/// What the file says.
#[derive(Default, PartialEq, Eq)]
pub(in crate::cli) struct Contexts {
    /// Name of the context that commands work in when nothing else names a place.
    pub(in crate::cli) current: Option<String>,
    /// The sections by their names.
    pub(in crate::cli) entries: BTreeMap<String, Entry>,
}

impl Contexts {
    /// A section by its name.
    ///
    /// # Errors
    /// If there is none; the message names the nearest, or all.
    pub(in crate::cli) fn entry(&self, name: &str) -> anyhow::Result<&Entry> {
        let missing = || {
            let names = || self.entries.keys().cloned();
            let hint = match nearest(names(), name) {
                Some(nearest) => format!("did you mean {nearest}?"),
                None if self.entries.is_empty() => {
                    "there are none, and `jeton context add` adds one".to_owned()
                }
                None => format!("it has {}", names().collect::<Vec<_>>().join(", ")),
            };
            let name = name.escape_debug();
            Exit::Usage.error(format!("there is no context {name}; {hint}"))
        };
        self.entries.get(name).ok_or_else(missing)
    }
}

impl<'de> Deserialize<'de> for Contexts {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Sections)
    }
}

/// Reads the sections one by one. By `serde(flatten)` an error would not know its line.
struct Sections;

impl<'de> Visitor<'de> for Sections {
    type Value = Contexts;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a section for each context")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut sections: A) -> Result<Contexts, A::Error> {
        let mut contexts = Contexts::default();
        while let Some(name) = sections.next_key::<String>()? {
            if name == CURRENT {
                contexts.current = Some(sections.next_value()?);
            } else {
                contexts.entries.insert(name, sections.next_value()?);
            }
        }
        Ok(contexts)
    }
}

/// Path of the file, in the configuration directory of the user (XDG Base Directory).
pub(super) fn path() -> anyhow::Result<PathBuf> {
    let folder = |name| env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let home = || folder("HOME").map(|home| home.join(".config"));
    let folder = folder("XDG_CONFIG_HOME").or_else(home);
    let folder = folder.context("no file of contexts can be found: set HOME or XDG_CONFIG_HOME")?;
    Ok(folder.join("jeton/contexts.toml"))
}

/// Text of the file, which only its owner may change: it decides where secrets are sent. `None` if
/// there is none, or if its folder is closed to this user, so that it is the file of another.
pub(super) fn text(file: &Path) -> anyhow::Result<Option<String>> {
    if !file.try_exists().unwrap_or(false) {
        return Ok(None);
    }
    let checked = data_dir::check(data_dir::parent(file), Worker::Command);
    let text = checked.and_then(|()| data_dir::read_own(file));
    let text = text.map_err(|error| anyhow!("cannot be used: {error}"))?;
    let text = str::from_utf8(&text).ok().context("is not UTF-8")?;
    Ok(Some(text.to_owned()))
}

/// Reads the text of the file.
pub(super) fn parse(text: &str) -> anyhow::Result<Contexts> {
    // The `Display` of this error would quote the whole line, which may hold a password.
    toml::from_str(text).map_err(|error| {
        let before = text.get(..error.span().map_or(0, |span| span.start)).unwrap_or_default();
        let line = before.matches('\n').count() + 1;
        Exit::Usage.error(format!("line {line}: {}", error.message()))
    })
}
