//! `jeton audit list`: the last entries, or the last of those that a filter selects.

use clap::Args;

use super::{filter::Filter, text};
use crate::{
    cli::{
        administration::{Reading, Site},
        deadline::Deadline,
        node, output, unreadable,
    },
    registry::AuditQuery,
};

#[derive(Debug, Args)]
pub(in crate::cli) struct List {
    #[command(flatten)]
    filter: Filter,

    /// Maximum entries
    #[arg(long, value_name = "N", default_value_t = 50,
          value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    last: u32,

    #[command(flatten)]
    on: Reading,
}

impl List {
    pub(super) async fn run(self, deadline: Deadline) -> anyhow::Result<()> {
        let site = Site::of(self.on.at)?;
        let trail = site.trail(node::this_user());
        let query = AuditQuery::from(self.filter);
        let last = usize::try_from(self.last).unwrap_or(usize::MAX);
        let mut entries = site.look(deadline, trail.last(&query, last)).await?;
        entries.reverse();
        if self.on.format.json {
            output::json(&entries.iter().map(text::json).collect());
        } else if entries.is_empty() && query != AuditQuery::default() {
            output::remark("No change matches the filter.");
        } else if entries.is_empty() {
            output::remark("No changes yet.");
        } else {
            let rows = entries.iter().map(|entry| (text::row(entry), [text::change(entry)]));
            output::table_with_notes(text::COLUMNS, ["change"], &rows.collect::<Vec<_>>());
        }
        unreadable::check(unreadable::rows(&entries))
    }
}
