//! `jeton restore`: restores a backup, or finishes a database restored by other means.

mod embedded;
mod postgres;

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use clap::Args;
use serde_json::json;

use super::{
    arguments::Changing,
    backup::{holdings_json, holdings_rows, until_interrupted},
    deadline::Deadline,
    output,
    target::Target,
};
use crate::{
    domain::{Clock, SystemClock},
    store::{Finished, Store, migrate::SchemaError},
};

#[derive(Debug, Args)]
#[command(after_help = "\
Stop the nodes first. All tokens issued before the restore become inactive. Changes made after the
backup are lost, and the command lists what to check. docs/backup.md describes a rehearsal.

After a restore by other means (a snapshot, point-in-time recovery, a managed service), run
`jeton restore --finish` on the restored database before starting nodes on it.

Examples:
  jeton restore jeton.backup --data-dir restored
  jeton restore jeton.backup --replace
  jeton restore --finish --database-url postgres://jeton@localhost/jeton")]
pub(super) struct Restore {
    /// Backup made by `jeton backup`
    #[arg(value_name = "FILE", required_unless_present = "finish", conflicts_with = "finish")]
    file: Option<PathBuf>,

    /// Replace an existing embedded database, which is kept in a directory beside the new one
    #[arg(long, conflicts_with = "finish")]
    replace: bool,

    /// Only finish a database restored by other means: invalidate its tokens, reset leases and the
    /// change feed, and write an audit entry
    #[arg(long)]
    finish: bool,

    #[command(flatten)]
    on: Changing,
}

/// Result of a restore.
struct Restored {
    finished: Finished,
    /// Directory of the replaced database, if there was one.
    kept: Option<PathBuf>,
}

impl Restore {
    pub(super) async fn run(self, brief: Deadline, whole: Deadline) -> anyhow::Result<()> {
        let target = Target::of(self.on.database)?;
        let actor = self.on.operator.actor();
        target.announce();
        let restoring = async {
            match (&self.file, target.database.url()?) {
                (None, _) => {
                    let finish = finish(target.store.as_ref(), &actor);
                    let work = target.ready_for(finish);
                    let finished = target.step(brief, UNDECIDED, work).await?;
                    Ok(Restored { finished, kept: None })
                }
                (Some(backup), None) => {
                    let embedded = embedded::restore(backup, &target, self.replace, &actor);
                    Box::pin(target.step(whole, embedded::UNDECIDED, embedded)).await
                }
                (Some(_), Some(_)) if self.replace => bail!(
                    "--replace is for the embedded database: on Postgres, create a new database \
                     with createdb, restore into it and give its URL to the nodes; the old \
                     database stays as it is"
                ),
                (Some(backup), Some(url)) => {
                    let unpacked = postgres::unpack(backup, &target, &url);
                    Box::pin(target.step(whole, postgres::UNDECIDED, unpacked)).await?;
                    let finished = postgres::finish(&target, &actor);
                    let finished = target.step(brief, postgres::UNFINISHED, finished).await?;
                    Ok(Restored { finished, kept: None })
                }
            }
        };
        let restored = Box::pin(until_interrupted(restoring)).await?;
        target.leave().await;
        report(&target.place, &restored, self.on.format.json);
        Ok(())
    }
}

/// Message if finishing a database times out.
const UNDECIDED: &str = "It was done completely or not at all: run the command again.";

/// Prepares a restored database for nodes: invalidates its tokens, resets leases and the change
/// feed, and writes an audit entry.
async fn finish(store: &dyn Store, actor: &crate::domain::Actor) -> anyhow::Result<Finished> {
    let finished = store.finish_restore(SystemClock.now(), actor).await;
    finished.context("the database cannot be used")
}

/// Error for a file whose schema cannot be restored.
fn unusable(backup: &Path, error: SchemaError) -> anyhow::Error {
    let backup = backup.display();
    match error {
        SchemaError::Missing => anyhow::anyhow!("{backup} is not a backup of Jeton"),
        error => anyhow::Error::from(error).context(format!("{backup} cannot be restored")),
    }
}

fn report(place: &str, restored: &Restored, as_json: bool) {
    let Restored { finished, kept } = restored;
    let kept = kept.as_ref().map(|kept| kept.display().to_string());
    let checks = checks(finished, kept.as_deref());
    if as_json {
        let mut report = holdings_json(&finished.found);
        report["database"] = json!(place);
        report["not_before"] = json!(finished.not_before.to_string());
        report["lost_seconds"] = json!(finished.lost.map(|lost| lost.as_secs()));
        report["kept"] = json!(kept);
        report["check"] = json!(checks);
        output::json(&report);
        return;
    }
    output::say(&format!("Restored {place}:"));
    output::properties(&holdings_rows(&finished.found));
    output::say(&format!(
        "\nAll tokens issued before {} are inactive, revoked or not. Clients request new ones.\n\
         Before you let callers in:",
        finished.not_before
    ));
    for check in checks {
        output::say(&format!("- {check}"));
    }
}

/// Checks for the operator, because the database does not record what it lost.
fn checks(finished: &Finished, kept: Option<&str>) -> Vec<String> {
    let since = match (finished.found.newest, finished.lost) {
        (Some(newest), Some(lost)) => format!("{newest} ({} ago)", spoken(lost.as_secs())),
        _ => "the backup".to_owned(),
    };
    let mut checks = vec![
        format!("Nothing that happened after {since} is in this database. Check each change."),
        "Clients that were disabled or deleted after that can act again: disable or delete them \
         again, before anything else."
            .to_owned(),
        "Secrets that were retired or declared leaked after that work again: retire them again."
            .to_owned(),
        "Clients and secrets that were created after that are missing: create them again."
            .to_owned(),
        "Changes of scopes, audiences and lifetimes after that are undone: make them again."
            .to_owned(),
    ];
    checks.push(match kept {
        Some(kept) => format!(
            "The replaced database is kept; `jeton audit list --data-dir {kept}` lists the \
             changes made there."
        ),
        None => "The audit trail of the lost database, or the log of its nodes, shows the changes."
            .to_owned(),
    });
    checks.push("Then start the nodes, and make a new backup.".to_owned());
    checks
}

fn spoken(seconds: u64) -> String {
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7_200 => format!("{} min", seconds / 60),
        7_200..172_800 => format!("{} h", seconds / 3_600),
        _ => format!("{} days", seconds / 86_400),
    }
}
