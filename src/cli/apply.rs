//! `jeton apply`: makes clients as files declare them, on a database or through a node.

mod plan;
mod prune;
mod saved;
mod show;
mod work;

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

use clap::Args;

use self::{
    plan::{Action, Existing, Plan},
    prune::{Prune, Undeclared},
    saved::Saved,
};
use super::{
    administration::{Clients, Ending, Site},
    confirm::Confirmation,
    deadline::Deadline,
    declared::Declarations,
    exit::Exit,
    output,
    target::UNCHANGED,
};
use crate::{
    domain::{ClientRecord, Clock, SystemClock},
    store::Readable,
};

#[derive(Debug, Args)]
#[command(after_help = "\
A file declares the clients of a set, in TOML or YAML; docs/declarative-clients.md has all keys. All
files are checked before anything is changed. A field that a file does not name has its default, and
the state and the secrets of a client stay as they are. A client of another set, or of none, is
refused unless the file says `adopt = true`.

Signs: + is created, ~ is changed, - is disabled because no file declares it any more (--prune),
x is deleted, because it was disabled like that and --delete-after has passed.

Examples:
  jeton apply clients.toml --plan
  jeton apply clients.toml --plan-out reviewed.plan
  jeton apply clients.toml --yes
  jeton apply clients.toml --yes --server unix:jeton-data/control.sock")]
pub(super) struct Apply {
    /// Files that declare clients (.toml, .yaml, .yml), or one plan (.plan)
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,

    /// Print what would change, and change nothing; exits with 3 if something would
    #[arg(long)]
    plan: bool,

    /// The same, and write the plan to a new file, for `jeton apply FILE.plan`
    #[arg(long, value_name = "FILE.plan")]
    plan_out: Option<PathBuf>,

    #[command(flatten)]
    prune: Prune,

    #[command(flatten)]
    ending: Ending,
}

/// What the files hold.
enum Source {
    Declarations(Declarations),
    Saved(Vec<Saved>),
}

impl Apply {
    pub(super) async fn run(self, deadline: Deadline) -> anyhow::Result<()> {
        let Self { files, plan, plan_out, prune, ending: Ending { confirmation, changing } } = self;
        if let Some(file) = &plan_out {
            check_new(file)?;
        }
        let source = Source::read(&files, &prune)?;
        let site = Site::of(changing.at)?;
        let work = Work {
            clients: site.clients(changing.operator.actor()),
            site: &site,
            deadline,
            prune,
            // A plan that was made before was looked at, so it is not asked about again.
            confirmation: Confirmation {
                yes: confirmation.yes || matches!(source, Source::Saved(_)),
            },
            is_json: changing.format.json,
        };
        site.announce();
        let done = Box::pin(work.run(source, plan, plan_out.as_deref())).await;
        site.leave().await;
        done
    }
}

/// Checks the name of a plan before the work.
fn check_new(file: &Path) -> anyhow::Result<()> {
    let name = file.display();
    if !saved::is_plan(file) {
        return Err(Exit::Usage.error(format!(
            "the name of {name} must end with .{}, by which `jeton apply` knows a plan",
            saved::ENDING
        )));
    }
    if file.exists() {
        let why = format!("{name} exists already: remove it, or choose another name");
        return Err(Exit::Conflict.error(why));
    }
    Ok(())
}

impl Source {
    fn read(files: &[PathBuf], prune: &Prune) -> anyhow::Result<Self> {
        match files {
            [file] if saved::is_plan(file) => {
                if prune.is_wanted {
                    return Err(Exit::Usage.error(
                        "a plan says already what is pruned: give --prune when you make it",
                    ));
                }
                Ok(Self::Saved(saved::read(file)?))
            }
            files if files.iter().any(|file| saved::is_plan(file)) => {
                Err(Exit::Usage.error("a plan is applied alone, without other files"))
            }
            files => {
                let declared = Declarations::read(files)?;
                if prune.is_wanted && declared.sets.is_empty() {
                    return Err(Exit::Usage.error(
                        "--prune needs a set: no file has `set`, so none says which clients are \
                         its own",
                    ));
                }
                Ok(Self::Declarations(declared))
            }
        }
    }
}

/// The work on the database, or through the node.
struct Work<'a> {
    clients: Clients<'a>,
    site: &'a Site,
    deadline: Deadline,
    prune: Prune,
    confirmation: Confirmation,
    is_json: bool,
}

impl Work<'_> {
    async fn run(
        &self,
        source: Source,
        plan_only: bool,
        plan_out: Option<&Path>,
    ) -> anyhow::Result<()> {
        let reading = self.site.step(self.deadline, UNCHANGED, self.existing());
        let existing = Box::pin(reading).await?;
        let plan = match source {
            Source::Declarations(declared) => {
                let plan = self.plan(declared, &existing)?;
                let pruned = plan.pruned();
                let checking = self.prune.check_unused(&pruned, &self.clients);
                Box::pin(self.site.step(self.deadline, UNCHANGED, checking)).await?;
                plan
            }
            Source::Saved(saved) => saved::restored(saved, &existing)?,
        };
        if !self.is_json {
            show::show(&plan);
        }
        if let Some(file) = plan_out {
            saved::write(file, &plan)?;
            output::remark(&format!("The plan is in {0}: `jeton apply {0}`", file.display()));
        }
        let is_applied = !plan_only && plan_out.is_none();
        if is_applied && !plan.changes.is_empty() {
            let consequence = format!(
                "This changes {} in {}.",
                output::counted(plan.changes.len(), "client"),
                self.site.place
            );
            self.site.confirm(self.confirmation, None, &consequence)?;
            work::carry_out(&plan, self.site, &self.clients, self.deadline).await?;
            self.tell_of(&plan);
        }
        if self.is_json {
            output::json(&show::to_json(&plan, is_applied));
        }
        if is_applied || plan.changes.is_empty() { Ok(()) } else { Err(Exit::Finding.error("")) }
    }

    /// All clients: those of a set are found by what they are, the declared ones by their id.
    async fn existing(&self) -> anyhow::Result<Existing> {
        let records = self.clients.records().await?;
        let named = |record: Readable<ClientRecord>| {
            let name = match &record {
                Ok(record) => client_id(record),
                Err(row) => row.client_id.clone()?,
            };
            Some((name, record))
        };
        Ok(records.into_iter().filter_map(named).collect())
    }

    fn plan(&self, declared: Declarations, existing: &Existing) -> anyhow::Result<Plan> {
        let sets = declared.sets.clone();
        let ids: BTreeSet<_> = declared.clients.keys().cloned().collect();
        let now = SystemClock.now();
        let mut plan = Plan::of(declared, existing)?;
        for set in &sets {
            let undeclared = Undeclared::of(set, &ids, existing, now);
            plan.remarks.extend(undeclared.remarks(self.prune.is_wanted));
            if self.prune.is_wanted {
                plan.prune(self.prune.actions(undeclared, ids.is_empty(), now)?);
            }
        }
        Ok(plan)
    }

    /// Prints what was done and what may have to be done next.
    fn tell_of(&self, plan: &Plan) {
        let count = |verb| plan.changes.iter().filter(|change| change.verb() == verb).count();
        output::remark(&format!(
            "In {}: {} created, {} changed, {} disabled, {} deleted.",
            self.site.place,
            output::counted(count("create"), "client"),
            count("update"),
            count("prune"),
            count("delete")
        ));
        for change in &plan.changes {
            let client_id = &change.client_id;
            match change.action {
                Action::Create(_) => output::remark(&format!(
                    "Client {client_id} has no secret yet: `jeton client add-secret {client_id}`"
                )),
                Action::Prune(_) => output::remark(&format!(
                    "Client {client_id} is disabled: `jeton client enable {client_id}` undoes it."
                )),
                Action::Update(_) | Action::Delete(_) => {}
            }
        }
    }
}

fn client_id(record: &ClientRecord) -> String {
    record.client.client_id.to_string()
}
