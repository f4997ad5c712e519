//! `jeton copy`: copies the embedded database to Postgres.

use anyhow::Context;
use clap::Args;
use serde_json::json;

use super::{
    arguments::Changing,
    backup::{holdings_json, holdings_rows, program::tell_growth, until_interrupted},
    deadline::Deadline,
    exit::Exit,
    node, output,
    target::{Target, embedded_place},
};
use crate::{
    data_dir::Worker,
    domain::{Actor, Clock, OsRandom, SystemClock},
    store::{EmbeddedSource, Holdings, PostgresStore, migrate::SchemaError},
};

#[derive(Debug, Args)]
#[command(after_help = "\
Copies the embedded database of --data-dir to the database of --database-url, which must be empty.
Secrets and live tokens work there as before, without a new start of any client. Stop the node
first; afterwards start nodes with --database-url only. docs/scaling.md describes the move.

Example:
  jeton copy --database-url postgres://jeton@localhost/jeton")]
pub(super) struct CopyCommand {
    #[command(flatten)]
    on: Changing,
}

/// Message if preparing the schema times out.
const UNPREPARED: &str = "Nothing was copied.";

/// Message if the copy times out.
const UNDECIDED: &str = "The database on Postgres holds everything or nothing, which `jeton client \
    list` shows; the embedded database is unchanged.";

/// Message if the trail of the embedded database does not verify. Its hashes are computed anew, so
/// a copy would hide that.
const TAMPERED: &str = "nothing was copied, because the audit trail of the embedded database does \
    not verify";

/// Result of a copy.
struct Copied {
    /// What the embedded database holds.
    before: Holdings,
    /// What the database on Postgres holds.
    after: Holdings,
}

impl CopyCommand {
    pub(super) async fn run(self, brief: Deadline, whole: Deadline) -> anyhow::Result<()> {
        let target = Target::of(self.on.database)?;
        let actor = self.on.operator.actor();
        let Some(url) = target.database.url()? else {
            return Err(Exit::Usage.error(
                "name the database on Postgres with --database-url; the embedded database of \
                 --data-dir is copied to it",
            ));
        };
        let store = node::open_postgres(&target.database, &url)?;
        let directory = &target.database.directory;
        node::check_directory(directory, Worker::Command)?;
        let from = embedded_place(&directory.data_dir);
        output::remark(&format!("From: {from}"));
        target.announce();
        let copying = async {
            let opened = EmbeddedSource::open(&directory.data_dir).await;
            let mut source = opened.with_context(|| from.clone())?.ok_or_else(|| {
                Exit::Conflict.error(format!(
                    "a node or a command is using {from}: stop it first, so that nothing is \
                     issued or revoked that the copy lacks"
                ))
            })?;
            target.step(brief, UNPREPARED, prepare(&target)).await?;
            let copied = copy(&mut source, &store, &target, &actor);
            Box::pin(target.step(whole, UNDECIDED, copied)).await
        };
        let copied = Box::pin(until_interrupted(copying)).await?;
        target.leave().await;
        report(&from, &target.place, &copied, self.on.format.json);
        Ok(())
    }
}

/// Creates the schema in an empty database. One that is there must be up to date: the database may
/// not be the one that was meant, so it is not migrated here.
async fn prepare(target: &Target) -> anyhow::Result<()> {
    let checked = match target.store.check_schema().await {
        Err(SchemaError::Missing) => {
            target.store.migrate(SystemClock.now(), &OsRandom).await.map(|_migrated| ())
        }
        checked => checked,
    };
    checked.with_context(|| target.place.clone())
}

/// Copies everything, and tells how long it has taken so far.
async fn copy(
    source: &mut EmbeddedSource,
    store: &PostgresStore,
    target: &Target,
    actor: &Actor,
) -> anyhow::Result<Copied> {
    tokio::select! {
        copied = write(source, store, target, actor) => copied,
        () = tell_growth(None) => anyhow::bail!("an endless wait returned"),
    }
}

async fn write(
    source: &mut EmbeddedSource,
    store: &PostgresStore,
    target: &Target,
    actor: &Actor,
) -> anyhow::Result<Copied> {
    let verified = source.verify_trail().await.context("the embedded database cannot be read")?;
    let verified = verified.context(TAMPERED)?;
    let written = store.copy_from(source, &verified, SystemClock.now(), actor).await;
    let written = written.context("the copy failed, and what it wrote was taken back")?;
    let after = written.map_err(|found| {
        Exit::Conflict.error(format!(
            "{} is not empty; it has {}: create a new database with createdb, copy to it, and \
             start nodes on it afterwards",
            target.place,
            found.join(", ")
        ))
    })?;
    Ok(Copied { before: *source.holdings(), after })
}

fn report(from: &str, place: &str, Copied { before, after }: &Copied, as_json: bool) {
    let expired = before.tokens - after.tokens;
    if as_json {
        let mut report = holdings_json(after);
        report["database"] = json!(place);
        report["from"] = json!(from);
        report["expired_tokens"] = json!(expired);
        report["from_mark"] = json!(before.mark.map(|mark| mark.to_string()));
        output::json(&report);
        return;
    }
    output::say(&format!("Copied {from} to {place}:"));
    output::properties(&holdings_rows(after));
    if expired > 0 {
        output::say(&format!("Expired tokens were left out: {expired}."));
    }
    output::remark(
        "Start nodes with --database-url from now on. Move jeton.db and the files that begin with \
         its name away, so that no node starts on them by accident: what that issues or revokes is \
         unknown to the others.",
    );
}
