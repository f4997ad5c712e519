//! What became of each client of a file.

use std::{fs, path::Path};

use serde_json::{Value, json};

use crate::{
    cli::{exit::Exit, output},
    data_dir::Draft,
};

/// What became of a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It is not there yet. So it remains in a plan.
    New,
    /// It was imported.
    Imported,
    /// It is there already, with the same content.
    Unchanged,
    /// It was not imported, for this reason.
    Skipped(String),
}

impl Outcome {
    const fn as_str(&self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Imported => "imported",
            Self::Unchanged => "unchanged",
            Self::Skipped(_) => "skipped",
        }
    }
}

/// A client of the file, and what became of it.
pub(super) struct Line {
    pub(super) place: String,
    pub(super) client_id: String,
    pub(super) outcome: Outcome,
    pub(super) remarks: Vec<String>,
}

impl Line {
    fn to_json(&self) -> Value {
        let why = match &self.outcome {
            Outcome::Skipped(why) => Some(why),
            _ => None,
        };
        json!({
            "place": self.place,
            "client_id": self.client_id,
            "outcome": self.outcome.as_str(),
            "why": why,
            "remarks": self.remarks,
        })
    }

    /// For people. Nothing of a client that needs no look.
    fn show(&self) {
        let Self { place, client_id, outcome, remarks } = self;
        let said = match outcome {
            Outcome::Unchanged => return,
            Outcome::Imported if remarks.is_empty() => return,
            Outcome::New | Outcome::Imported => format!("+ {client_id}"),
            Outcome::Skipped(why) => format!("! {client_id} ({place}): {why}"),
        };
        output::say(&output::printable(&said));
        for remark in remarks {
            output::say(&output::printable(&format!("    {remark}")));
        }
    }
}

/// What became of all clients of a file.
pub(super) struct Report(pub(super) Vec<Line>);

impl Report {
    pub(super) fn count(&self, outcome: &str) -> usize {
        self.0.iter().filter(|line| line.outcome.as_str() == outcome).count()
    }

    pub(super) fn to_json(&self) -> Value {
        let clients: Vec<_> = self.0.iter().map(Line::to_json).collect();
        json!({
            "new": self.count("new"),
            "imported": self.count("imported"),
            "unchanged": self.count("unchanged"),
            "skipped": self.count("skipped"),
            "clients": clients,
        })
    }

    pub(super) fn show(&self) {
        self.0.iter().for_each(Line::show);
    }

    /// Writes a line of JSON for each client to a new file.
    ///
    /// # Errors
    /// If it cannot be written.
    pub(super) fn write(&self, draft: Draft, file: &Path) -> anyhow::Result<()> {
        let mut lines = String::new();
        for line in &self.0 {
            lines.push_str(&line.to_json().to_string());
            lines.push('\n');
        }
        fs::write(draft.path(), lines)?;
        Ok(draft.become_file(file)?)
    }
}

/// Makes room for the report before the work.
///
/// # Errors
/// If the file exists already, or its folder cannot be written.
pub(super) fn draft(file: &Path) -> anyhow::Result<Draft> {
    if file.symlink_metadata().is_ok() {
        let why = "exists already: name another file with --report";
        return Err(Exit::Conflict.error(format!("{} {why}", file.display())));
    }
    Ok(Draft::file_beside(file)?)
}
