//! `jeton import`: takes over clients of another system, with their secrets.

mod csv;
mod file;
mod hydra;
mod keycloak;
mod report;

use std::{
    collections::HashMap,
    io::{self, IsTerminal},
    path::PathBuf,
    time::Instant,
};

use anyhow::Context;
use clap::{Args, ValueEnum};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use self::{
    file::{Candidate, Row, Skip, System},
    report::{Line, Outcome, Report},
};
use super::{
    administration::{Changing, Clients, Site},
    deadline::Deadline,
    exit::Exit,
    output,
    shutdown::Signals,
    target::UNCHANGED,
};
use crate::{
    config::Argon2,
    domain::{ClientRecord, Clock, HashCost, SystemClock},
    registry::{ImportedClient, MAX_IMPORTED_CLIENTS},
    store::ClientFilter,
};

#[derive(Debug, Args)]
#[command(after_help = "\
The whole file is read and checked before anything is changed. Clients that are there already are
left as they are, so an import that was interrupted is run again and goes on. Exits with 3 if a
client was skipped. docs/import.md says what is taken from each system.

With --server, the import works through a node. Hashes are sent to it, and never texts of secrets.

Examples:
  jeton import --from hydra clients.jsonl --plan
  jeton import --from hydra clients.jsonl --report imported.jsonl
  jeton import --from hydra clients.jsonl --server unix:jeton-data/control.sock
  jeton import --from keycloak realm.json --clear-secrets")]
pub(super) struct Import {
    /// File to import
    #[arg(value_name = "FILE")]
    file: PathBuf,

    /// System that the file comes from
    #[arg(long, value_enum)]
    from: System,

    /// Print what would be imported, and change nothing; exits with 3 if something would
    #[arg(long)]
    plan: bool,

    /// What to do if a client id is taken by a client that differs
    #[arg(long, value_enum, default_value = "skip", value_name = "ACTION")]
    on_conflict: OnConflict,

    /// Write what became of each client to a new file, as lines of JSON
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,

    /// Import secrets that the file holds in clear; only their hashes are stored
    #[arg(long)]
    clear_secrets: bool,

    #[command(flatten)]
    on: Changing,

    #[command(flatten)]
    argon2: Argon2,
}

/// What to do with a client id that is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum OnConflict {
    /// Leave that client as it is, and import the others
    Skip,
    /// Import nothing
    Fail,
}

impl Import {
    pub(super) async fn run(self, deadline: Deadline) -> anyhow::Result<()> {
        let rows = file::read(self.from, &self.file, SystemClock.now())?;
        if let Some(row) = file::first_in_clear(&rows).filter(|_| !self.clear_secrets) {
            return Err(Exit::Usage.error(format!(
                "{}, {}: the file holds secrets in clear: add --clear-secrets to import them, and \
                 delete the file afterwards",
                self.file.display(),
                row.place
            )));
        }
        let report = self.report.map(|file| report::draft(&file).map(|draft| (draft, file)));
        let report = report.transpose().context("nothing was changed, because of --report")?;
        let cost = self.argon2.cost()?;
        let site = Site::of(self.on.at)?;
        let clients = site.hashing_clients(self.on.operator.actor(), cost);
        let work = Work { clients, cost, site: &site, deadline };
        site.announce();
        let done = Box::pin(work.run(rows, self.plan, self.on_conflict)).await;
        site.leave().await;
        let (made, ended) = done?;
        if let Some((draft, file)) = report {
            made.write(draft, &file)?;
        }
        if self.on.format.json {
            output::json(&made.to_json());
        } else {
            made.show();
        }
        output::remark(&format!(
            "In {}: {} clients imported, {} new, {} unchanged, {} skipped.",
            site.place,
            made.count("imported"),
            made.count("new"),
            made.count("unchanged"),
            made.count("skipped")
        ));
        ended?;
        let is_done = made.count("skipped") == 0 && (!self.plan || made.count("new") == 0);
        if is_done { Ok(()) } else { Err(Exit::Finding.error("")) }
    }
}

/// The work on the database, or through the node.
struct Work<'a> {
    clients: Clients<'a>,
    /// Of the hashes of secrets in clear.
    cost: HashCost,
    site: &'a Site,
    deadline: Deadline,
}

/// A client to import, and its line of the report.
type Pending = (usize, ImportedClient);

impl Work<'_> {
    /// Returns what became of each client, and why the import ended early if it did.
    async fn run(
        &self,
        rows: Vec<Row>,
        is_plan: bool,
        on_conflict: OnConflict,
    ) -> anyhow::Result<(Report, anyhow::Result<()>)> {
        let present = self.site.step(self.deadline, UNCHANGED, Box::pin(self.present())).await?;
        let mut pending = Vec::new();
        let mut lines = Vec::with_capacity(rows.len());
        for row in rows {
            let (line, client) = judged(row, &present, on_conflict)?;
            pending.extend(client.map(|client| (lines.len(), client)));
            lines.push(line);
        }
        let mut report = Report(lines);
        let ended = if is_plan {
            self.preview(pending, &mut report).await
        } else {
            self.import(pending, &mut report).await
        };
        Ok((report, ended))
    }

    /// The clients that are there, by their id; `None` for a row that cannot be read.
    async fn present(&self) -> anyhow::Result<HashMap<String, Option<ClientRecord>>> {
        let clients = self.clients.list(&ClientFilter::default()).await?;
        let named = clients.into_iter().filter_map(|(record, _)| match record {
            Ok(record) => Some((record.client.client_id.to_string(), Some(record))),
            Err(row) => Some((row.client_id?, None)),
        });
        Ok(named.collect())
    }

    /// Marks the clients that would be refused.
    async fn preview(&self, pending: Vec<Pending>, report: &mut Report) -> anyhow::Result<()> {
        let (at, new): (Vec<_>, Vec<_>) =
            pending.into_iter().map(|(line, client)| (line, client.record)).unzip();
        let previewing = Box::pin(self.clients.preview_import(new));
        let skipped = self.site.step(self.deadline, UNCHANGED, previewing).await?;
        for (line, why) in at.into_iter().zip(skipped) {
            if let Some(why) = why {
                report.0[line].outcome = Outcome::Skipped(why);
            }
        }
        Ok(())
    }

    async fn import(&self, pending: Vec<Pending>, report: &mut Report) -> anyhow::Result<()> {
        let all = pending.len();
        let stop = stop_at_signal()?;
        let is_watched = io::stderr().is_terminal();
        let mut pending = pending.into_iter();
        let mut done = 0;
        loop {
            let next = pending.by_ref().take(MAX_IMPORTED_CLIENTS);
            let (at, batch): (Vec<_>, Vec<_>) = next.unzip();
            if batch.is_empty() {
                break;
            }
            let begun = Instant::now();
            let rest = "run the same command again, which goes on from there";
            let undecided = format!("Of {all} clients at least {done} are imported: {rest}.");
            let importing = Box::pin(self.clients.import(batch, self.cost));
            let skipped = self.site.step(self.deadline, &undecided, importing).await;
            let skipped = skipped.with_context(|| {
                format!("of {all} clients only the first {done} are sure to be imported; {rest}")
            })?;
            for (line, why) in at.iter().zip(skipped) {
                report.0[*line].outcome = why.map_or(Outcome::Imported, Outcome::Skipped);
            }
            done += at.len();
            if is_watched {
                output::progress(&format!("{done} of {all} clients"));
            }
            if stop.is_cancelled() && done < all {
                if is_watched {
                    output::remark("");
                }
                return Err(Exit::Failed.error(format!(
                    "stopped: of {all} clients the first {done} are imported; {rest}"
                )));
            }
            // As long as the batch took: others that wait for a lock go first.
            sleep(begun.elapsed()).await;
        }
        if is_watched && done > 0 {
            output::remark("");
        }
        Ok(())
    }
}

/// Stops the import after its batch at the first signal, and at once at the second.
fn stop_at_signal() -> anyhow::Result<CancellationToken> {
    let mut signals = Signals::of_command()?;
    let stop = CancellationToken::new();
    let stopping = stop.clone();
    tokio::spawn(async move {
        signals.next().await;
        stopping.cancel();
        signals.end_at_next();
    });
    Ok(stop)
}

/// The line of the report for a row, and the client to import, if it is new.
fn judged(
    row: Row,
    present: &HashMap<String, Option<ClientRecord>>,
    on_conflict: OnConflict,
) -> anyhow::Result<(Line, Option<ImportedClient>)> {
    let Row { place, client_id, read } = row;
    let line = |outcome, remarks| Line { place, client_id: client_id.clone(), outcome, remarks };
    let Candidate { client, remarks } = match read {
        Ok(candidate) => candidate,
        Err(Skip(why)) => return Ok((line(Outcome::Skipped(why), Vec::new()), None)),
    };
    let Some(before) = present.get(&client_id) else {
        return Ok((line(Outcome::New, remarks), Some(client)));
    };
    let why = match before {
        None => "there is a client of this id, whose row cannot be read".to_owned(),
        Some(before) => {
            let differing = differing(before, &client.record);
            if differing.is_empty() {
                return Ok((line(Outcome::Unchanged, remarks), None));
            }
            format!("the client exists already and differs in {}", differing.join(", "))
        }
    };
    if on_conflict == OnConflict::Fail {
        let text = format!("nothing was changed: client {client_id}: {why} (--on-conflict fail)");
        return Err(Exit::Conflict.error(text));
    }
    Ok((line(Outcome::Skipped(why), remarks), None))
}

/// The fields in which a client is not what the file says.
fn differing(before: &ClientRecord, imported: &ClientRecord) -> Vec<&'static str> {
    let changes = before.changes_to(imported).into_iter().map(|change| change.field);
    changes.filter(|field| !matches!(*field, "id" | "created_at")).collect()
}
