//! Lists of which an update adds or removes members.

use std::{collections::BTreeSet, fmt::Display};

use crate::{cli::exit::Exit, config::nearest};

/// What is to become of the members of a list.
pub(super) struct Members<'a, T> {
    /// The flag that removes one.
    pub(super) flag: &'static str,
    /// The new list; empty if it is the one of now.
    pub(super) all: &'a [T],
    pub(super) add: &'a [T],
    pub(super) remove: &'a [T],
}

impl<T: Ord + Clone + Display> Members<'_, T> {
    /// The list that comes of it; `None` if nothing is named.
    pub(super) fn of(&self, now: &BTreeSet<T>) -> anyhow::Result<Option<BTreeSet<T>>> {
        let Self { flag, all, add, remove } = self;
        if all.is_empty() && add.is_empty() && remove.is_empty() {
            return Ok(None);
        }
        let mut members: BTreeSet<_> =
            if all.is_empty() { now.clone() } else { all.iter().cloned().collect() };
        for member in *remove {
            if !members.remove(member) {
                return Err(not_there(flag, member, now.iter().map(ToString::to_string)));
            }
        }
        members.extend(add.iter().cloned());
        Ok(Some(members))
    }
}

/// The error for something to be removed that is not there.
pub(super) fn not_there(
    flag: &str,
    gone: &impl Display,
    there: impl Iterator<Item = String>,
) -> anyhow::Error {
    let there: Vec<_> = there.collect();
    // The comparison is one of flags, whose names begin with no hyphen.
    let names = there.iter().filter(|name| !name.starts_with('-')).cloned();
    let hint = match nearest(names, &gone.to_string()) {
        Some(nearest) => format!("did you mean {nearest}?"),
        None if there.is_empty() => "it has none".to_owned(),
        None => format!("it has {}", there.join(" ")),
    };
    Exit::Usage.error(format!(
        "nothing was changed: the client does not have {gone}, which {flag} names; {hint}"
    ))
}
