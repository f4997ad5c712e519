//! `jeton audit …`: lists and verifies the audit trail, directly in the database.

use anyhow::Context;
use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::{
    deadline::Deadline,
    output,
    target::{Target, UNCHANGED},
    unreadable,
};
use crate::{
    config::Database,
    domain::{AuditEntry, AuditMark, AuditReader, AuditSummary, ClientId},
    store::Readable,
};

/// Number of rows that one query of `jeton audit verify` reads.
const PAGE: u32 = 1_000;

#[derive(Debug, Subcommand)]
#[command(after_help = "\
Example:
  jeton audit verify")]
pub(super) enum AuditCommand {
    /// List recent changes and their actors
    #[command(after_help = "\
Examples:
  jeton audit list
  jeton audit list --client orders --last 10 --json")]
    List(List),
    /// Check that no row was altered, removed or inserted
    #[command(after_help = "\
The mark that this prints is the number and the hash of the last row. Keep it somewhere else: only a
mark reveals rows cut off the end later, or a trail that was rewritten completely. A node logs a
mark every ten minutes if there was a change.

Example:
  jeton audit verify")]
    Verify(Verify),
}

#[derive(Debug, Args)]
pub(super) struct List {
    /// Show only entries about the client with this identifier
    #[arg(long, value_name = "CLIENT_ID", value_parser = ClientId::parse)]
    client: Option<ClientId>,

    /// Maximum entries
    #[arg(long, value_name = "N", default_value_t = 50)]
    last: u32,

    /// Print JSON
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    database: Database,
}

#[derive(Debug, Args)]
pub(super) struct Verify {
    /// Mark of an earlier verification: its row must still be there, unchanged; may be repeated
    #[arg(long = "mark", value_name = "SEQ:HASH", value_parser = AuditMark::parse)]
    marks: Vec<AuditMark>,

    /// Print JSON
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    database: Database,
}

impl AuditCommand {
    pub(super) async fn run(self, deadline: Deadline) -> anyhow::Result<()> {
        match self {
            Self::List(list) => list.run(deadline).await,
            Self::Verify(verify) => verify.run(deadline).await,
        }
    }
}

impl List {
    async fn run(self, deadline: Deadline) -> anyhow::Result<()> {
        let target = Target::of(self.database)?;
        let work = async {
            let entries = target.store.last_of_audit(self.client.as_ref(), self.last).await;
            entries.context("the database cannot be used")
        };
        let mut entries = target.look(deadline, work).await?;
        entries.reverse();
        if self.json {
            output::json(&entries.iter().map(entry_json).collect());
        } else if entries.is_empty() {
            let of = self.client.map(|client| format!(" for client {client}"));
            output::remark(&format!("No changes{} yet.", of.unwrap_or_default()));
        } else {
            let heading = ["seq", "at", "actor", "action", "client", "secret or token", "detail"];
            output::table(heading, entries.iter().map(entry_row).collect());
        }
        unreadable::check(unreadable::rows(&entries))
    }
}

fn entry_row(entry: &Readable<AuditEntry>) -> [String; 7] {
    let entry = match entry {
        Ok(entry) => entry,
        Err(row) => return unreadable::cells(row, 3),
    };
    let login = entry.login.as_deref().map(|login| format!("by hand: {login}"));
    let who = entry.actor_in_full().or(login).unwrap_or_else(|| "by hand".to_owned());
    [
        entry.seq.to_string(),
        entry.at.to_string(),
        output::printable(&who),
        output::printable(&entry.action),
        output::printable(entry.client_id.as_deref().unwrap_or_default()),
        entry.subject.map(|id| id.to_string()).unwrap_or_default(),
        output::printable(&shortened(&entry.detail)),
    ]
}

/// Cuts a detail to the width of a table cell; `--json` prints it in full.
fn shortened(detail: &str) -> String {
    const WIDTH: usize = 80;
    if detail.chars().count() <= WIDTH {
        return detail.to_owned();
    }
    detail.chars().take(WIDTH).chain(['…']).collect()
}

fn entry_json(entry: &Readable<AuditEntry>) -> Value {
    let entry = match entry {
        Ok(entry) => entry,
        Err(row) => return unreadable::audit_json(row),
    };
    json!({
        "seq": entry.seq,
        "at": entry.at.to_string(),
        "actor": entry.actor,
        "login": entry.login,
        "action": entry.action,
        "client": entry.client,
        "client_id": entry.client_id,
        "subject": entry.subject,
        "detail": serde_json::from_str(&entry.detail).unwrap_or(Value::Null),
        "hash": entry.hash.map(|hash| hash.to_string()),
    })
}

impl Verify {
    async fn run(self, deadline: Deadline) -> anyhow::Result<()> {
        let target = Target::of(self.database)?;
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
            if reader.position() / 100_000 > before && !self.json {
                output::progress(&format!("{} rows read", reader.position()));
            }
        }
        target.leave().await;
        report(&reader.finish().context(TAMPERED)?, self.json);
        Ok(())
    }
}

const TAMPERED: &str = "the audit trail does not verify";

fn report(summary: &AuditSummary, as_json: bool) {
    let AuditSummary { rows, first, head, unsealed } = *summary;
    if as_json {
        output::json(&json!({
            "rows": rows,
            "first": first,
            "mark": head.map(|head| head.to_string()),
            "unsealed": unsealed,
        }));
        return;
    }
    let Some(first) = first else {
        output::say("The audit trail is empty.");
        return;
    };
    output::say(&format!("The audit trail is intact: {rows} rows from {first} on."));
    if let Some(head) = head {
        output::say(&format!("mark  {head}"));
    }
    if unsealed > 0 {
        output::remark(&format!(
            "Rows at the end, edited by hand, without a hash yet: {unsealed}. A node will add it."
        ));
    }
}
