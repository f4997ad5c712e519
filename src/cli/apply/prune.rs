//! `--prune`: disables the clients of a set that no file declares any more, within limits, because
//! a file that was cut or mistaken must not end a whole set. It deletes those that nobody has
//! enabled or declared for a while after that.

use std::{collections::BTreeSet, time::Duration};

use clap::Args;

use super::plan::{Action, Existing};
use crate::{
    cli::{
        administration::Clients,
        duration::{in_words, parse_duration, parse_moment},
        exit::Exit,
    },
    domain::{ClientId, ClientRecord, ClientState, DELETE_AFTER_LABEL, Label, Timestamp},
    registry::{Updated, Usage},
};

/// How many clients of a set may be pruned without `--prune-limit`.
const MOST: usize = 10;

/// And how large a part of the set: one in so many.
const ONE_IN: usize = 10;

/// A client that was used within this time is pruned only with `--prune-used`.
const LATELY: Duration = Duration::from_hours(7 * 24);

#[derive(Debug, Args)]
pub(super) struct Prune {
    /// Disable the clients of the set that no file declares any more, and delete those that have
    /// been disabled like this for a while
    #[arg(id = "prune", long)]
    pub(super) is_wanted: bool,

    /// Prune up to N clients of a set [default: 10, but at most 10 % of the set]
    #[arg(id = "prune_limit", long = "prune-limit", value_name = "N", requires = "prune")]
    limit: Option<usize>,

    /// Prune also if the files declare no client at all
    #[arg(long, requires = "prune")]
    allow_empty: bool,

    /// Prune also clients that have authenticated within 7 days, or of which that is not known
    #[arg(long = "prune-used", requires = "prune")]
    allow_used: bool,

    /// How long a pruned client stays disabled before `--prune` deletes it
    #[arg(long, value_name = "TIME", default_value = "14d", value_parser = parse_duration)]
    delete_after: Duration,
}

/// The clients of a set that no file declares.
pub(super) struct Undeclared<'a> {
    set: &'a str,
    /// Those that are not disabled yet, and are no administrators.
    active: Vec<&'a ClientRecord>,
    /// Those that were pruned so long ago that they may be deleted.
    due: Vec<&'a ClientRecord>,
    /// Those with a scope that begins with `jeton:`, which are never pruned.
    administrators: Vec<&'a ClientId>,
    /// How many clients belong to the set.
    size: usize,
}

impl<'a> Undeclared<'a> {
    pub(super) fn of(
        set: &'a str,
        declared: &BTreeSet<ClientId>,
        clients: &'a Existing,
        now: Timestamp,
    ) -> Self {
        let members = clients.values().flatten();
        let members: Vec<_> =
            members.filter(|record| record.about.labels.set_name() == Some(set)).collect();
        let size = members.len();
        let gone =
            members.into_iter().filter(|record| !declared.contains(&record.client.client_id));
        let (gone, administrators): (Vec<_>, Vec<_>) =
            gone.partition(|record| record.client.permissions().is_empty());
        let is_active = |record: &&ClientRecord| record.client.state == ClientState::Active;
        let administrators = administrators.into_iter().filter(is_active);
        let administrators = administrators.map(|record| &record.client.client_id).collect();
        let (active, disabled): (Vec<_>, Vec<_>) = gone.into_iter().partition(is_active);
        let is_due = |record: &&ClientRecord| delete_after(record).is_some_and(|due| due <= now);
        let due = disabled.into_iter().filter(is_due).collect();
        Self { set, active, due, administrators, size }
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
        if !is_pruned && !self.due.is_empty() {
            let names = named(self.due.iter().map(|record| &record.client.client_id));
            remarks.push(format!(
                "Disabled since no file of set {set} declares them: {names}. --prune deletes them."
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
    /// What is to be done to the clients that no file declares.
    ///
    /// # Errors
    /// If too many would be disabled, or if no file declares any client.
    pub(super) fn actions(
        &self,
        undeclared: Undeclared<'_>,
        declares_nothing: bool,
        now: Timestamp,
    ) -> anyhow::Result<Vec<Action>> {
        let Undeclared { set, active, due, size, .. } = undeclared;
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
        let delete_after = now.plus(self.delete_after);
        let disable = |of: &ClientRecord| Action::Prune(Box::new(disabled(of, delete_after)));
        let delete = |of: &ClientRecord| Action::Delete(of.clone());
        Ok(active.into_iter().map(disable).chain(due.into_iter().map(delete)).collect())
    }

    /// Checks that the clients to disable were not used lately.
    ///
    /// # Errors
    /// If some were, or may have been; the message names them.
    pub(super) async fn check_unused(
        &self,
        pruned: &[&ClientId],
        clients: &Clients<'_>,
    ) -> anyhow::Result<()> {
        if self.allow_used {
            return Ok(());
        }
        let Usage { used, unknown } = clients.usage(pruned, LATELY).await?;
        let time = in_words(LATELY);
        let are = match (used.is_empty(), unknown.is_empty()) {
            (true, true) => return Ok(()),
            (false, _) => format!("these were used within {time}: {}", named(used.iter())),
            (true, false) => format!(
                "it is not known whether these were used within {time}: {}",
                named(unknown.iter())
            ),
        };
        Err(Exit::Conflict.error(format!(
            "nothing was changed: --prune would disable clients, and {are}. `jeton client secrets` \
             shows their uses. If that is meant, add --prune-used"
        )))
    }
}

/// The client as it is after it was pruned. One with the most labels that a client can have gets no
/// other, so it stays disabled.
pub(super) fn disabled(before: &ClientRecord, delete_after: Timestamp) -> Updated {
    let mut after = before.clone();
    after.client.state = ClientState::Disabled;
    if let Ok(label) = Label::parse(&format!("{DELETE_AFTER_LABEL}={delete_after}")) {
        let mut labels = after.about.labels.clone();
        if labels.set(label).is_ok() {
            after.about.labels = labels;
        }
    }
    Updated { before: before.clone(), after }
}

/// From when on a pruned client may be deleted.
pub(super) fn delete_after(record: &ClientRecord) -> Option<Timestamp> {
    let text = record.about.labels.get(DELETE_AFTER_LABEL)?;
    // An age such as 7d would be a moment in the past.
    if text.contains('-') { parse_moment(text).ok() } else { None }
}

fn named<'a>(ids: impl Iterator<Item = &'a ClientId>) -> String {
    ids.map(ClientId::as_str).collect::<Vec<_>>().join(", ")
}
