//! `jeton tag-key …`: rotates the key of the tags in secrets and tokens, while nodes run.

use std::time::Duration;

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::{
    confirm::Confirmation,
    deadline::Deadline,
    node::{self, Operator},
    output,
    target::Target,
};
use crate::{
    config::Database,
    domain::{Clock, SystemClock, TokenLifetime},
    store::TagKeyRotation,
};

#[derive(Debug, Subcommand)]
#[command(after_help = "\
Example:
  jeton tag-key rotate")]
pub(super) enum TagKeyCommand {
    /// Make a new tag key the current one, while nodes run; the previous one is still accepted
    #[command(after_help = "\
Every secret and token works as before. New ones are made with the new key. When all older secrets
are replaced, `jeton tag-key retire` ends the previous key. SECURITY.md has the whole procedure.

Example:
  jeton tag-key rotate")]
    Rotate(Rotate),
    /// End the previous tag key: all secrets and tokens that were made with it are refused
    #[command(after_help = "\
Example:
  jeton tag-key retire --yes")]
    Retire(Retire),
    /// Show whether a previous tag key is accepted, and how many secrets depend on it
    #[command(after_help = "\
Example:
  jeton tag-key show --json")]
    Show(Show),
}

#[derive(Debug, Args)]
pub(super) struct Rotate {
    /// Print JSON
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    operator: Operator,

    #[command(flatten)]
    database: Database,
}

#[derive(Debug, Args)]
pub(super) struct Retire {
    #[command(flatten)]
    confirmation: Confirmation,

    /// Print JSON
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    operator: Operator,

    #[command(flatten)]
    database: Database,
}

#[derive(Debug, Args)]
pub(super) struct Show {
    /// Print JSON
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    database: Database,
}

/// Message if a rotation times out. An interrupted rotation is completed by the next one.
const UNDECIDED: &str = "The tag key may or may not be rotated; either way every secret and token \
    works: check with `jeton tag-key show`, and run the command again unless it was rotated.";

/// Message if a retirement times out.
const UNRETIRED: &str = "The previous tag key may or may not be retired, and the change may still \
    take effect: check with `jeton tag-key show`, then run the command again.";

impl TagKeyCommand {
    pub(super) async fn run(self, deadline: Deadline) -> anyhow::Result<()> {
        match self {
            Self::Rotate(rotate) => rotate.run(deadline).await,
            Self::Retire(retire) => retire.run(deadline).await,
            Self::Show(show) => show.run(deadline).await,
        }
    }
}

impl Rotate {
    async fn run(self, deadline: Deadline) -> anyhow::Result<()> {
        let target = Target::of(self.database)?;
        let work = async {
            let registry = target.registry(self.operator.actor());
            Ok(registry.rotate_tag_key().await?)
        };
        let rotation = target.change(deadline, UNDECIDED, work).await?;
        if self.json {
            output::json(&rotation_json(&rotation));
            return Ok(());
        }
        output::say("The tag key is rotated. All secrets and tokens still work.");
        output::remark(&format!(
            "Replace the {}, then run `jeton tag-key retire`.",
            secrets(&rotation)
        ));
        Ok(())
    }
}

impl Retire {
    async fn run(self, deadline: Deadline) -> anyhow::Result<()> {
        let target = Target::of(self.database)?;
        let registry = target.registry(self.operator.actor());
        let looking = target.ready_for(async { Ok(registry.tag_key_rotation().await?) });
        let rotation = target.step(deadline, super::target::UNCHANGED, looking).await?;
        if rotation.has_previous {
            self.confirmation.ask(&consequence(&rotation, &target.place))?;
        }
        let work = async { Ok(registry.retire_tag_key().await?) };
        target.change(deadline, UNRETIRED, work).await?;
        if self.json {
            let rotation = TagKeyRotation { has_previous: false, ..rotation };
            output::json(&rotation_json(&rotation));
        } else {
            output::say("The previous tag key is retired. What was made with it is refused.");
        }
        Ok(())
    }
}

impl Show {
    async fn run(self, deadline: Deadline) -> anyhow::Result<()> {
        let target = Target::of(self.database)?;
        let work = async {
            let registry = target.registry(node::this_user());
            Ok(registry.tag_key_rotation().await?)
        };
        let rotation = target.look(deadline, work).await?;
        if self.json {
            output::json(&rotation_json(&rotation));
            return Ok(());
        }
        let since = rotation.since.map(|since| since.to_string());
        let yes_or_no = |is_so| if is_so { "yes" } else { "no" }.to_owned();
        output::properties(&[
            ("current key since", since.unwrap_or_else(|| "the installation".to_owned())),
            ("previous key accepted", yes_or_no(rotation.has_previous)),
            ("rotation interrupted", yes_or_no(rotation.has_next)),
            ("earlier live secrets", rotation.earlier_secrets.to_string()),
        ]);
        Ok(())
    }
}

fn rotation_json(rotation: &TagKeyRotation) -> Value {
    json!({
        "current_since": rotation.since.map(|since| since.to_string()),
        "previous_accepted": rotation.has_previous,
        "interrupted": rotation.has_next,
        "earlier_live_secrets": rotation.earlier_secrets,
    })
}

/// What the retirement of the previous key ends. Tokens are not counted, because there may be
/// millions of them; whether one can be alive follows from their longest lifetime.
fn consequence(rotation: &TagKeyRotation, place: &str) -> String {
    let is_recent = rotation.since.is_none_or(|since| {
        SystemClock.now() < since.plus(TokenLifetime::MAX.duration() + Duration::from_hours(1))
    });
    let tokens = if is_recent {
        "All tokens that were issued before that are inactive, too; clients request new ones."
    } else {
        "No token that was issued before that is alive."
    };
    format!("In {place} this ends the {} for good. {tokens}", secrets(rotation))
}

fn secrets(rotation: &TagKeyRotation) -> String {
    let since = rotation.since.map_or_else(|| "the rotation".to_owned(), |since| since.to_string());
    match rotation.earlier_secrets {
        1 => format!("1 live secret that was created before {since}"),
        count => format!("{count} live secrets that were created before {since}"),
    }
}
