//! Contexts: places to work in, each with a name, in a file of the user.

mod file;
mod place;
mod text;

use std::{cell::Cell, collections::BTreeMap, env, fmt, fs, path::Path};

use anyhow::Context as _;

use self::file::Contexts;
pub(super) use self::place::{Administrator, Entry, NodePlace, Place};
use super::{
    deadline::{Deadline, Wait},
    exit::Exit,
};
use crate::data_dir::{self, Draft, Lock, Worker};

/// The variable that names a context.
const VARIABLE: &str = "JETON_CONTEXT";

/// Maximum length of the name of a new context, in bytes.
const MAX_NAME_LENGTH: usize = 64;

/// A place to work in, with its name.
#[derive(Debug)]
pub(super) struct Context {
    pub(super) label: Label,
    pub(super) place: Place,
}

/// Name of a context, and how careful to be there. Its `Display` follows the name of the place.
#[derive(Debug, Clone)]
pub(super) struct Label {
    pub(super) name: String,
    /// Whether a change after which something no longer works is confirmed by a name.
    pub(super) is_protected: bool,
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let protected = if self.is_protected { ", protected" } else { "" };
        write!(f, " (context {}{protected})", self.name.escape_debug())
    }
}

/// Name of a new context: letters, digits and `._-`, so that no shell has to quote it.
#[derive(Debug, Clone)]
pub(super) struct ContextName(pub(super) String);

impl ContextName {
    /// Parses the name of a new context.
    ///
    /// # Errors
    /// If it has another form, or is the key of the current context.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        let is_name = text.starts_with(|first: char| first.is_ascii_alphanumeric())
            && text.len() <= MAX_NAME_LENGTH
            && text.bytes().all(is_allowed);
        if !is_name {
            return Err(format!(
                "a name has up to {MAX_NAME_LENGTH} of A-Z a-z 0-9 . _ - and begins with a letter \
                 or a digit"
            ));
        }
        if text == file::CURRENT {
            return Err("the file names the current context by this word".to_owned());
        }
        Ok(Self(text.to_owned()))
    }
}

/// The context that the environment names.
pub(super) fn variable() -> Option<String> {
    let name = env::var_os(VARIABLE).filter(|name| !name.is_empty());
    name.map(|name| name.to_string_lossy().into_owned())
}

/// The context to work in: that of a flag or a variable, else the current one. `None` if neither is
/// there.
///
/// # Errors
/// If there is no such context, or if the file is not valid, or could be changed by other users.
pub(super) fn chosen(named: Option<&str>) -> anyhow::Result<Option<Context>> {
    if let Some(name) = named {
        return find(name).map(Some);
    }
    // Without a home there is no file, and nothing names a context.
    let Ok(file) = file::path() else { return Ok(None) };
    within(&file, || {
        let contexts = file::text(&file)?.map(|text| file::parse(&text)).transpose()?;
        let Some(Contexts { current: Some(name), entries }) = contexts else { return Ok(None) };
        let contexts = Contexts { current: None, entries };
        let context = resolve(&contexts, &name, &file);
        context.map(Some).context("the current context, which `jeton context use` sets")
    })
}

/// Finds a context by its name.
///
/// # Errors
/// As those of [`chosen`], and if the file is missing.
pub(super) fn find(name: &str) -> anyhow::Result<Context> {
    let file = file::path()?;
    within(&file, || {
        let missing = || Exit::Usage.error("does not exist; `jeton context add` makes it");
        let text = file::text(&file)?.ok_or_else(missing)?;
        resolve(&file::parse(&text)?, name, &file)
    })
}

/// All contexts by name, and the name of the current one.
///
/// # Errors
/// As those of [`chosen`].
pub(super) fn all() -> anyhow::Result<(Vec<Context>, Option<String>)> {
    let file = file::path()?;
    within(&file, || {
        let contexts = file::parse(&file::text(&file)?.unwrap_or_default())?;
        let all = contexts.entries.keys().map(|name| resolve(&contexts, name, &file));
        Ok((all.collect::<Result<_, _>>()?, contexts.current))
    })
}

fn resolve(contexts: &Contexts, name: &str, file: &Path) -> anyhow::Result<Context> {
    let entry = contexts.entry(name)?;
    let place = entry.place(data_dir::parent(file)).with_context(|| format!("context {name}"))?;
    let label = Label { name: name.to_owned(), is_protected: entry.protected };
    Ok(Context { label, place })
}

/// Names the file in an error.
fn within<T>(file: &Path, work: impl FnOnce() -> anyhow::Result<T>) -> anyhow::Result<T> {
    work().with_context(|| format!("the file of contexts {}", file.display()))
}

/// A change of the contexts: what they are afterwards, and the text that says so. `None` if the
/// text is written in a way that only people can change.
type Change<'a> = dyn FnOnce(&mut Contexts, &str) -> anyhow::Result<Option<String>> + 'a;

/// Adds a section, or replaces that of the same name if `is_replacing`, which stays protected.
///
/// # Errors
/// If the name is taken, and those of [`change`].
pub(super) async fn add(
    deadline: Deadline,
    ContextName(name): ContextName,
    mut entry: Entry,
    is_replacing: bool,
) -> anyhow::Result<()> {
    let edit = move |contexts: &mut Contexts, text: &str| {
        entry.protected |= contexts.entries.get(&name).is_some_and(|before| before.protected);
        let section = toml::to_string(&BTreeMap::from([(&name, &entry)]))
            .context("a path is not UTF-8, and the file of contexts is")?;
        let is_taken = contexts.entries.contains_key(&name);
        if is_taken && !is_replacing {
            return Err(Exit::Conflict.error(format!(
                "there is a context {name}; choose another name, or add --replace"
            )));
        }
        let changed = if is_taken {
            text::replaced(text, &name, &section)
        } else {
            Some(text::added(text, &section))
        };
        contexts.entries.insert(name, entry);
        Ok(changed)
    };
    change(deadline, Box::new(edit)).await
}

/// Makes a context the current one, or none.
///
/// # Errors
/// If there is no such context, and those of [`change`].
pub(super) async fn set_current(deadline: Deadline, name: Option<String>) -> anyhow::Result<()> {
    let edit = move |contexts: &mut Contexts, text: &str| {
        if let Some(name) = &name {
            let _ = contexts.entry(name)?;
        }
        let changed = text::with_current(text, name.as_deref());
        contexts.current = name;
        Ok(Some(changed))
    };
    change(deadline, Box::new(edit)).await
}

/// Removes a section. If it is the current context, there is none afterwards, and this is true.
///
/// # Errors
/// If there is no such context, and those of [`change`].
pub(super) async fn remove(deadline: Deadline, name: &str) -> anyhow::Result<bool> {
    let was_current = Cell::new(false);
    let edit = |contexts: &mut Contexts, text: &str| {
        let _ = contexts.entry(name)?;
        contexts.entries.remove(name);
        let removed = text::removed(text, name);
        if contexts.current.as_deref() != Some(name) {
            return Ok(removed);
        }
        contexts.current = None;
        was_current.set(true);
        Ok(removed.map(|text| text::with_current(&text, None)))
    };
    change(deadline, Box::new(edit)).await?;
    Ok(was_current.get())
}

/// Changes the file, whose folder is created if it is missing. The new file appears complete, one
/// change at a time, and says what it should, or nothing is changed.
async fn change(deadline: Deadline, edit: Box<Change<'_>>) -> anyhow::Result<()> {
    let file = file::path()?;
    let folder = data_dir::parent(&file);
    let undecided = "Nothing was changed.";
    let wait = Wait { whom: "another command that changes the contexts", undecided, store: None };
    let work = async {
        data_dir::make(folder)?;
        data_dir::check(folder, Worker::Command)?;
        let _lock = Lock::exclusive(&folder.join("contexts.lock")).await?;
        let text = file::text(&file)?.unwrap_or_default();
        let mut contexts = file::parse(&text)?;
        let changed = edit(&mut contexts, &text)?;
        let changed =
            changed.filter(|changed| file::parse(changed).is_ok_and(|read| read == contexts));
        let changed = changed.context("has a form that only you can change: edit it yourself")?;
        write(&file, &changed).context("cannot be written")
    };
    let done = deadline.bound(&wait, work).await;
    within(&file, || done)
}

/// Replaces the file, or the one that it links to.
fn write(file: &Path, text: &str) -> anyhow::Result<()> {
    let file = fs::canonicalize(file).unwrap_or_else(|_| file.to_owned());
    let draft = Draft::file_beside(&file)?;
    draft.write(text)?;
    Ok(draft.replace_file(&file)?)
}
