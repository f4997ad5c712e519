//! `jeton backup`: saves a database to a file while nodes run.

pub(super) mod archive;
mod libpq;
pub(super) mod program;

use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::Args;
use serde_json::{Value, json};

use self::archive::Archive;
use super::{
    arguments::Reading,
    deadline::Deadline,
    exit::Exit,
    node, output,
    shutdown::Signals,
    target::{Target, UNCHANGED},
};
use crate::{
    config::DatabaseUrl,
    data_dir::Draft,
    store::{Holdings, SqliteStore},
};

#[derive(Debug, Args)]
#[command(after_help = "\
Nodes keep running meanwhile. The file holds the hashes of all secrets and the key of the
installation: protect it like a password. `jeton restore` restores it; docs/backup.md describes what
a restore loses.

Examples:
  jeton backup jeton.backup
  jeton backup jeton-2.backup --database-url postgres://jeton@localhost/jeton")]
pub(super) struct Backup {
    /// File to create; it must not exist yet
    #[arg(value_name = "FILE")]
    file: PathBuf,

    #[command(flatten)]
    on: Reading,
}

impl Backup {
    pub(super) async fn run(self, brief: Deadline, whole: Deadline) -> anyhow::Result<()> {
        if self.file.exists() {
            return Err(Exit::Conflict.error(format!(
                "{} already exists and is not overwritten: name another file",
                self.file.display()
            )));
        }
        let target = Target::of(self.on.database)?;
        target.announce();
        let ready = target.ready_for(async { Ok(()) });
        target.step(brief, UNCHANGED, ready).await?;
        let draft = Draft::file_beside(&self.file)
            .context("the backup cannot be written there; name a file in another directory")?;
        let save = async {
            match target.database.url()? {
                Some(url) => save_postgres(&target, &url, draft.path()).await,
                None => save_embedded(&target, draft.path()).await,
            }
        };
        let undecided = "Nothing was changed, and no backup was made.";
        let saved = Box::pin(until_interrupted(target.step(whole, undecided, save))).await?;
        target.leave().await;
        let bytes = std::fs::metadata(draft.path())?.len();
        draft.become_file(&self.file).context("the backup cannot be moved to its final name")?;
        report(&self.file, bytes, &target.place, &saved, self.on.format.json);
        Ok(())
    }
}

/// Runs `work`, and drops it at the first signal, so that drafts are removed.
pub(super) async fn until_interrupted<T>(
    work: impl Future<Output = anyhow::Result<T>>,
) -> anyhow::Result<T> {
    let mut signals = Signals::of_command().context("cannot listen for signals")?;
    tokio::select! {
        done = work => done,
        () = signals.next() => Err(anyhow::anyhow!("interrupted before completion")),
    }
}

/// Backs up an embedded database. SQLite writes the copy itself, in one transaction. The copy must
/// hold every change made before it began, which the head of the audit trail proves.
async fn save_embedded(target: &Target, draft: &Path) -> anyhow::Result<Holdings> {
    let store = node::open_sqlite(&target.database);
    let before = target.store.audit_head().await.context("the database cannot be used")?;
    tokio::select! {
        copied = store.copy_into(draft) => copied.context("the copy cannot be written")?,
        () = program::tell_growth(Some(draft)) => (),
    }
    let saved = SqliteStore::look_over(draft, before).await.context("the copy is incomplete")?;
    saved.context("the copy has another schema than the database")
}

/// Backs up a database on Postgres. `pg_dump` reads the same snapshot in which this counts the
/// rows; afterwards the rows in its archive are counted and compared.
async fn save_postgres(
    target: &Target,
    url: &DatabaseUrl,
    draft: &Path,
) -> anyhow::Result<Holdings> {
    let snapshot = node::open_postgres(&target.database, url)?.snapshot().await;
    let snapshot = snapshot.context("the database cannot be used")?;
    let programs = program::suitable("pg_dump", program::major_of(snapshot.server)).await?;
    let dump = programs.first().context("there is no pg_dump")?;
    let mut command = dump.at(url);
    command
        .args(["--format=custom", "--no-password", "--snapshot", &snapshot.name, "--file"])
        .arg(draft);
    program::run(command, Some(draft)).await?;
    let counted = snapshot.holdings;
    snapshot.close().await.context("the database cannot be used")?;
    // Only a program of the same or a later version can read an archive.
    let programs = program::suitable("pg_restore", dump.major()).await?;
    let (archive, _) = Archive::read(draft, programs).await?;
    archive.compare(&counted).context("the backup is incomplete")?;
    Ok(counted)
}

fn report(file: &Path, bytes: u64, place: &str, saved: &Holdings, as_json: bool) {
    if as_json {
        let mut report = holdings_json(saved);
        report["file"] = json!(file.display().to_string());
        report["bytes"] = json!(bytes);
        report["database"] = json!(place);
        output::json(&report);
        return;
    }
    output::say(&format!("Saved {place} in {}, {bytes} bytes:", file.display()));
    output::properties(&holdings_rows(saved));
    output::remark("It holds the hashes of all secrets: protect it like a password.");
}

/// Contents of a database as JSON: counts of rows, the newest moment and the audit mark.
pub(super) fn holdings_json(held: &Holdings) -> Value {
    json!({
        "schema": held.schema,
        "clients": held.clients,
        "secrets": held.secrets,
        "tokens": held.tokens,
        "revocations": held.revocations,
        "audit_rows": held.audit,
        "newest": held.newest.map(|newest| newest.to_string()),
        "mark": held.mark.map(|mark| mark.to_string()),
    })
}

/// Contents of a database as lines for people.
pub(super) fn holdings_rows(held: &Holdings) -> [(&'static str, String); 8] {
    let none = || "none".to_owned();
    [
        ("schema", held.schema.to_string()),
        ("clients", held.clients.to_string()),
        ("secrets", held.secrets.to_string()),
        ("tokens", held.tokens.to_string()),
        ("revocations", held.revocations.to_string()),
        ("audit trail", format!("{} rows", held.audit)),
        ("newest row", held.newest.map_or_else(none, |newest| newest.to_string())),
        ("mark", held.mark.map_or_else(none, |mark| mark.to_string())),
    ]
}
