//! `jeton doctor`: looks at an installation as a whole, and says what needs an operator.

mod checks;

use clap::Args;
use serde_json::{Value, json};

use self::checks::{Check, State};
use super::{
    arguments::Reading,
    deadline::Deadline,
    exit::Exit,
    node, output,
    table::Column,
    target::{Located, Target, UNCHANGED},
};

#[derive(Debug, Args)]
#[command(after_help = "\
It changes nothing. Each check ends as ok, advice or fault, and says what to do. The exit status is
3 if there is advice or a fault. Run it as a role that may read the tag keys, such as an operator.

Examples:
  jeton doctor
  jeton doctor --json")]
pub(super) struct Doctor {
    #[command(flatten)]
    on: Reading,
}

/// The columns. On a terminal what was found and what to do stand below them in full.
const COLUMNS: [Column; 2] = [Column::whole("state"), Column::whole("check")];

impl Doctor {
    pub(super) async fn run(self, deadline: Deadline) -> anyhow::Result<()> {
        let located = Located::of(self.on.database)?;
        let mut done = vec![checks::directory(&located.database)];
        // What lies in a directory that others can write to is not read.
        if done.iter().all(|check| check.state == State::Ok) {
            let target = Target::within(located)?;
            target.announce();
            // Without this schema nothing else can be looked at.
            let schema = target.step(deadline, UNCHANGED, target.ready_for(async { Ok(()) })).await;
            let is_there = schema.is_ok();
            done.push(checks::schema(schema));
            if is_there {
                let registry = target.registry(node::this_user());
                let look = async { Ok(checks::of_database(&registry, &*target.store).await) };
                done.extend(target.step(deadline, UNCHANGED, look).await?);
            }
            target.leave().await;
        }
        if self.on.format.json {
            let checks: Vec<_> = done.iter().map(as_json).collect();
            output::json(&json!({ "checks": checks }));
        } else {
            let rows: Vec<_> = done.iter().map(cells).collect();
            output::table_with_notes(COLUMNS, ["found", "to do"], &rows);
        }
        if done.iter().all(|check| check.state == State::Ok) {
            return Ok(());
        }
        Err(Exit::Finding.error(""))
    }
}

fn as_json(check: &Check) -> Value {
    json!({
        "check": check.name,
        "state": check.state.as_str(),
        "found": check.found,
        "to_do": check.to_do,
    })
}

fn cells(check: &Check) -> ([String; 2], [String; 2]) {
    let notes = [check.found.clone(), check.to_do.clone()];
    ([check.state.as_str().to_owned(), check.name.to_owned()], notes)
}
