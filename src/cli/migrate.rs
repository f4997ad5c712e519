//! `jeton migrate`

use anyhow::Context;
use clap::Args;

use super::{deadline::Deadline, node, output, target::Target};
use crate::{
    config::Database,
    domain::{Clock, OsRandom, SystemClock},
    store::RolePrefix,
};

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  jeton migrate --database-url postgres://jeton@localhost/jeton
  jeton migrate --print-roles > roles.sql")]
pub(super) struct Migrate {
    /// Print SQL that makes the roles of Postgres for owner, nodes, operators and readers, with
    /// the rights that each needs, and change nothing: read it, then run it with psql
    #[arg(long)]
    print_roles: bool,

    /// What the names of the roles begin with
    #[arg(long, value_name = "PREFIX", default_value = "jeton_", requires = "print_roles",
          value_parser = RolePrefix::parse)]
    role_prefix: RolePrefix,

    #[command(flatten)]
    database: Database,
}

/// What is said of a migration that was given up.
const UNDECIDED: &str = "A migration that was under way is undone as a whole, or done as a whole: \
    give the command again, with a longer --timeout if the database is merely slow.";

impl Migrate {
    pub(super) async fn run(self, deadline: Deadline) -> anyhow::Result<()> {
        if self.print_roles {
            output::say(self.role_prefix.roles_sql().trim_end());
            return Ok(());
        }
        let target = Target::of(self.database)?;
        output::remark(&format!("Database: {}", target.place));
        if target.database.database_url.is_none() {
            node::make_directory(&target.database.directory)?;
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
