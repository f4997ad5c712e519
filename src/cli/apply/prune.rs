//! `--prune`: disables the clients of a set that no file declares any more, within limits, because
//! a file that was cut or mistaken must not end a whole set.

use std::collections::BTreeSet;

use clap::Args;

use super::plan::Clients;
use crate::{
    cli::exit::Exit,
    domain::{ClientId, ClientRecord, ClientState},
};

/// How many clients of a set may be pruned without `--prune-limit`.
const MOST: usize = 10;

/// And how large a part of the set: one in so many.
const ONE_IN: usize = 10;

#[derive(Debug, Args)]
pub(super) struct Prune {
    /// Disable the clients of the set that no file declares any more
    #[arg(id = "prune", long)]
    pub(super) is_wanted: bool,

    /// Prune up to N clients of a set [default: 10, but at most 10 % of the set]
    #[arg(id = "prune_limit", long = "prune-limit", value_name = "N", requires = "prune")]
    limit: Option<usize>,

    /// Prune also if the files declare no client at all
    #[arg(long, requires = "prune")]
    allow_empty: bool,
}

/// The clients of a set that no file declares.
pub(super) struct Undeclared<'a> {
    set: &'a str,
    /// Those that are not disabled yet, and are no administrators.
    active: Vec<&'a ClientRecord>,
    /// Those with a scope that begins with `jeton:`, which are never pruned.
    administrators: Vec<&'a ClientId>,
    /// How many clients belong to the set.
    size: usize,
}

impl<'a> Undeclared<'a> {
    pub(super) fn of(set: &'a str, declared: &BTreeSet<ClientId>, clients: &'a Clients) -> Self {
        let members = clients.values().flatten();
        let members: Vec<_> =
            members.filter(|record| record.about.labels.set_name() == Some(set)).collect();
        let size = members.len();
        let gone =
            members.into_iter().filter(|record| !declared.contains(&record.client.client_id));
        let gone = gone.filter(|record| record.client.state == ClientState::Active);
        let (active, administrators): (Vec<_>, Vec<_>) =
            gone.partition(|record| record.client.permissions().is_empty());
        let administrators =
            administrators.into_iter().map(|record| &record.client.client_id).collect();
        Self { set, active, administrators, size }
    }

    /// What people should know of those that stay as they are.
    pub(super) fn remarks(&self, is_pruned: bool) -> Vec<String> {
        let mut remarks = Vec::new();
        let set = self.set;
        if !is_pruned && !self.active.is_empty() {
            let names = named(self.active.iter().map(|record| &record.client.client_id));
            remarks.push(format!(
                "In set {set} but in no file: {names}. They stay as they are; --prune disables \
                 them."
            ));
        }
        if !self.administrators.is_empty() {
            let names = named(self.administrators.iter().copied());
            remarks.push(format!(
                "In set {set} but in no file: {names}. Administrators are never pruned; `jeton \
                 client disable` disables one."
            ));
        }
        remarks
    }
}

impl Prune {
    /// The clients to disable.
    ///
    /// # Errors
    /// If they are too many, or if no file declares any client.
    pub(super) fn pruned(
        &self,
        undeclared: Undeclared<'_>,
        declares_nothing: bool,
    ) -> anyhow::Result<Vec<ClientRecord>> {
        let Undeclared { set, active, size, .. } = undeclared;
        let names = || named(active.iter().map(|record| &record.client.client_id));
        let refused = |why: String| Err(Exit::Conflict.error(why));
        if declares_nothing && !active.is_empty() && !self.allow_empty {
            return refused(format!(
                "nothing was changed: the files declare no client, so --prune would disable all of \
                 set {set}: {}. If that is meant, add --allow-empty",
                names()
            ));
        }
        let limit = self.limit.unwrap_or_else(|| MOST.min(size / ONE_IN));
        if active.len() > limit {
            return refused(format!(
                "nothing was changed: --prune would disable {} of {size} clients of set {set}, and \
                 the limit is {limit}: {}. If that is meant, add --prune-limit {}",
                active.len(),
                names(),
                active.len()
            ));
        }
        Ok(active.into_iter().cloned().collect())
    }
}

fn named<'a>(ids: impl Iterator<Item = &'a ClientId>) -> String {
    ids.map(ClientId::as_str).collect::<Vec<_>>().join(", ")
}
