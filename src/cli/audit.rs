//! `jeton audit …`: lists and verifies the audit trail, directly in the database.

mod detail;

use anyhow::Context;
use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::{
    arguments::Reading,
    deadline::Deadline,
    exit::Exit,
    output,
    table::Column,
    target::{Target, UNCHANGED},
    unreadable,
};
use crate::{
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
    #[arg(long, value_name = "N", default_value_t = 50,
          value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    last: u32,

    #[command(flatten)]
    on: Reading,
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
            Self::Verify(verify) => verify.run(deadline).await,
        }
    }
}

impl List {
    async fn run(self, deadline: Deadline) -> anyhow::Result<()> {
        let target = Target::of(self.on.database)?;
        let work = async {
            let entries = target.store.last_of_audit(self.client.as_ref(), self.last).await;
            entries.context("the database cannot be used")
        };
        let mut entries = target.look(deadline, work).await?;
        entries.reverse();
        if self.on.format.json {
            output::json(&entries.iter().map(entry_json).collect());
        } else if entries.is_empty() {
            let of = self.client.map(|client| format!(" for client {client}"));
            output::remark(&format!("No changes{} yet.", of.unwrap_or_default()));
        } else {
            output::table(COLUMNS, entries.iter().map(entry_row).collect());
        }
        unreadable::check(unreadable::rows(&entries))
    }
}

const COLUMNS: [Column; 7] = [
    Column::whole("seq"),
    Column::whole("at"),
    Column::whole("action"),
    Column::text("client"),
    Column::text("actor"),
    Column::text("detail"),
    Column::whole("secret or token"),
];

fn entry_row(entry: &Readable<AuditEntry>) -> [String; 7] {
    let entry = match entry {
        Ok(entry) => entry,
        Err(row) => return unreadable::cells(row, 2),
    };
    let login = entry.login.as_deref().map(|login| format!("by hand: {login}"));
    let who = entry.actor_in_full().or(login).unwrap_or_else(|| "by hand".to_owned());
    [
        entry.seq.to_string(),
        entry.at.to_string(),
        entry.action.clone(),
        entry.client_id.clone().unwrap_or_default(),
        who,
        shown(entry),
        entry.subject.map(|id| id.to_string()).unwrap_or_default(),
    ]
}

/// The detail as text, as it is stored if it is not JSON.
fn shown(entry: &AuditEntry) -> String {
    match detail::canonical(entry) {
        Value::Null => entry.detail.clone(),
        detail => detail.to_string(),
    }
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
        "detail": detail::canonical(entry),
        "hash": entry.hash.map(|hash| hash.to_string()),
    })
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
    let AuditSummary { rows, first, head, unsealed } = *summary;
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
