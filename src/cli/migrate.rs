//! `jeton migrate`

use std::path::PathBuf;

use clap::Args;

use super::{
    node::{self, Database},
    output,
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

impl Migrate {
    pub(super) async fn run(self, file: Option<&PathBuf>) -> anyhow::Result<()> {
        let store = node::open_store(&self.database.config(file)?)?;
        let migrated = store.migrate(SystemClock.now(), &OsRandom).await?;
        store.close().await;
        output::say(&if migrated.from == migrated.to {
            format!("The schema is up to date: version {}.", migrated.to)
        } else {
            format!("Migrated the schema from version {} to {}.", migrated.from, migrated.to)
        });
        Ok(())
    }
}
