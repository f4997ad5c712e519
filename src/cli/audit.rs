//! `jeton audit …`: lists and follows the audit trail, in the database or through a node; and
//! verifies it, in the database alone, because a node that vouches for itself proves nothing.

mod filter;
mod list;
mod text;
mod watch;

use anyhow::Context;
use clap::{Args, Subcommand};
use serde_json::json;

use super::{
    arguments::Reading,
    deadline::Deadline,
    exit::Exit,
    output,
    target::{Target, UNCHANGED},
};
use crate::domain::{AuditMark, AuditReader, AuditSummary};

/// Number of rows that one query of `jeton audit verify` reads.
const PAGE: u32 = 1_000;

#[derive(Debug, Subcommand)]
#[command(after_help = "\
Example:
  jeton audit verify")]
pub(super) enum AuditCommand {
    /// List recent changes and their actors, or those that a filter selects
    #[command(after_help = "\
Who gave the client orders the scope admin:
  jeton audit list --client orders --field scopes --gained admin

Examples:
  jeton audit list --client orders --last 10 --json
  jeton audit list --actor alice --since 7d
  jeton audit list --server unix:jeton-data/control.sock
  jeton audit list --action secret --since 2027-01-01 --until 2027-02-01
  jeton audit list --action client.disable")]
    List(list::List),
    /// Print changes as they are made, until Ctrl-C
    #[command(after_help = "\
With --json each change is one line.

Examples:
  jeton audit watch
  jeton audit watch --client orders --json")]
    Watch(watch::Watch),
    /// Check that no row was altered, removed or inserted
    #[command(after_help = "\
The mark that this prints is the number and the hash of the last row. Keep it somewhere else: only a
mark reveals rows cut off the end later, or a trail that was rewritten completely. A node logs a
mark every ten minutes if there was a change. This works on a database alone: a node that vouches
for its own trail would prove nothing.

Example:
  jeton audit verify")]
    Verify(Verify),
}

#[derive(Debug, Args)]
pub(super) struct Verify {
    /// Mark of an earlier verification: its row must still be there, unchanged; may be repeated
    #[arg(long = "mark", value_name = "SEQ:HASH", value_parser = AuditMark::parse)]
    marks: Vec<AuditMark>,

    #[command(flatten)]
    on: Reading,
}

impl AuditCommand {
    pub(super) async fn run(self, deadline: Deadline) -> anyhow::Result<()> {
        match self {
            Self::List(list) => list.run(deadline).await,
            Self::Watch(watch) => watch.run(deadline).await,
            Self::Verify(verify) => verify.run(deadline).await,
        }
    }
}

impl Verify {
    async fn run(self, deadline: Deadline) -> anyhow::Result<()> {
        let target = Target::of(self.on.database)?;
        target.announce();
        target.step(deadline, UNCHANGED, target.ready_for(async { Ok(()) })).await?;
        let mut reader = AuditReader::new(self.marks);
        loop {
            // The trail may be long, so each query has its own deadline.
            let work = async {
                let page = target.store.audit_after(reader.position(), PAGE).await;
                page.context("the database cannot be used")
            };
            let page = target.step(deadline, UNCHANGED, work).await?;
            if page.is_empty() {
                break;
            }
            let before = reader.position() / 100_000;
            for entry in page {
                // Jeton writes only rows that can be read, so an unreadable row was altered.
                reader.read(entry.context(TAMPERED)?).context(TAMPERED)?;
            }
            if reader.position() / 100_000 > before && !self.on.format.json {
                output::progress(&format!("{} rows read", reader.position()));
            }
        }
        target.leave().await;
        report(&reader.finish().context(TAMPERED)?, &target.place, self.on.format.json)
    }
}

const TAMPERED: &str = "the audit trail does not verify";

/// Prints the result. An empty trail verifies nothing, which is what a command in the wrong place
/// would report for ever.
fn report(summary: &AuditSummary, place: &str, as_json: bool) -> anyhow::Result<()> {
    let AuditSummary { rows, first, head, unsealed, cut: _ } = *summary;
    if as_json {
        output::json(&json!({
            "rows": rows,
            "first": first,
            "mark": head.map(|head| head.to_string()),
            "unsealed": unsealed,
        }));
    }
    let Some(first) = first else {
        let message = format!("the audit trail of {place} is empty: there is nothing to verify");
        return Err(Exit::Finding.error(message));
    };
    if as_json {
        return Ok(());
    }
    output::say(&format!("The audit trail of {place} is intact: {rows} rows from {first} on."));
    if let Some(head) = head {
        output::say(&format!("mark  {head}"));
    }
    if unsealed > 0 {
        output::remark(&format!(
            "Rows at the end, edited by hand, without a hash yet: {unsealed}. A node will add it."
        ));
    }
    Ok(())
}
