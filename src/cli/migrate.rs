//! `jeton migrate`: migrates the schema, or prints the SQL of the roles.

use anyhow::Context;
use clap::Args;

use serde_json::json;

use super::{arguments::Reading, deadline::Deadline, node, output, target::Target};
use crate::{
    data_dir::Worker,
    domain::{ClientId, Clock, OsRandom, SystemClock},
    store::RolePrefix,
};

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  jeton migrate --database-url postgres://jeton@localhost/jeton
  jeton migrate --print-roles > roles.sql")]
pub(super) struct Migrate {
    /// Change nothing; print SQL that creates Postgres roles for owner, nodes, operators and
    /// readers with the rights that each needs, to be read and then run with psql
    #[arg(long)]
    print_roles: bool,

    /// Prefix of the names of the roles
    #[arg(long, value_name = "PREFIX", default_value = "jeton_", requires = "print_roles",
          value_parser = RolePrefix::parse)]
    role_prefix: RolePrefix,

    #[command(flatten)]
    on: Reading,
}

/// Message if a migration times out.
const UNDECIDED: &str = "A migration in progress is either applied completely or rolled back \
    completely: run the command again, with a longer --timeout if the database is merely slow.";

impl Migrate {
    pub(super) async fn run(self, deadline: Deadline) -> anyhow::Result<()> {
        if self.print_roles {
            output::say(self.role_prefix.roles_sql().trim_end());
            return Ok(());
        }
        let target = Target::of(self.on.database)?;
        target.announce();
        if target.database.database_url.is_none() {
            node::make_directory(&target.database.directory, Worker::Command)?;
        }
        let work = async {
            let migrated = target.store.migrate(SystemClock.now(), &OsRandom).await;
            let migrated = migrated.with_context(|| target.place.clone())?;
            let concerned = migrated.clients_that_must_name_audience(&*target.store).await;
            Ok((migrated, concerned.context("the clients that must name an audience")?))
        };
        let (migrated, concerned) = target.step(deadline, UNDECIDED, work).await?;
        target.leave().await;
        let (from, to) = (migrated.from, migrated.to);
        let concerned: Vec<_> = concerned.iter().map(ClientId::as_str).collect();
        if self.on.format.json {
            let done = json!({ "from": from, "to": to, "must_name_audience": concerned });
            output::json(&done);
        } else if from == to {
            output::say(&format!("The schema of {} is up to date: version {to}.", target.place));
        } else {
            output::say(&format!(
                "Migrated the schema of {} from version {from} to {to}.",
                target.place
            ));
        }
        if !concerned.is_empty() && !self.on.format.json {
            output::say(&format!(
                "\nThese clients have several audiences and no default one. Their requests for a \
                 token are refused unless they name an audience as resource. Give each a \
                 default:\n  update client set default_audience = '…' where client_id = '…';\n\n{}",
                concerned.join("\n")
            ));
        }
        Ok(())
    }
}
