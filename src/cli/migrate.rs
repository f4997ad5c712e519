//! `jeton migrate`

use std::path::PathBuf;

use anyhow::Context;
use clap::Args;

use super::{
    deadline::Deadline,
    node::{self, Database},
    output,
    target::Target,
};
use crate::domain::{Clock, OsRandom, SystemClock};

#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  jeton migrate --database-url postgres://jeton@localhost/jeton")]
pub(super) struct Migrate {
    #[command(flatten)]
    database: Database,
}

/// What is said of a migration that was given up.
const UNDECIDED: &str = "A migration that was under way is undone as a whole, or done as a whole: \
    give the command again, with a longer --timeout if the database is merely slow.";

impl Migrate {
    pub(super) async fn run(
        self,
        file: Option<&PathBuf>,
        deadline: Deadline,
    ) -> anyhow::Result<()> {
        let target = Target::of(self.database, file)?;
        output::remark(&format!("Database: {}", target.place));
        if target.config.database_url.is_none() {
            node::make_directory(&target.config)?;
        }
        let work = async {
            let migrated = target.store.migrate(SystemClock.now(), &OsRandom).await;
            migrated.with_context(|| target.place.clone())
        };
        let migrated = target.step(deadline, UNDECIDED, work).await?;
        target.leave().await;
        output::say(&if migrated.from == migrated.to {
            format!("The schema is up to date: version {}.", migrated.to)
        } else {
            format!("Migrated the schema from version {} to {}.", migrated.from, migrated.to)
        });
        Ok(())
    }
}
