//! `jeton tag-key …`: rotates the key of the tags in secrets and tokens, while nodes run.

use std::time::Duration;

use clap::Subcommand;
use serde_json::{Value, json};

use super::{
    arguments::{Changing, Ending, Reading},
    deadline::Deadline,
    node, output,
    table::Column,
    target::{Target, UNCHANGED},
};
use crate::{
    domain::{ClientId, Clock, SystemClock, TokenLifetime},
    registry::Registry,
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
    Rotate(Changing),
    /// End the previous tag key: all secrets and tokens that were made with it are refused
    #[command(after_help = "\
Example:
  jeton tag-key retire --yes")]
    Retire(Ending),
    /// Show whether a previous tag key is accepted, and how many secrets depend on it
    #[command(after_help = "\
Example:
  jeton tag-key show --json")]
    Show(Reading),
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
            Self::Rotate(on) => rotate(on, deadline).await,
            Self::Retire(ending) => retire(ending, deadline).await,
            Self::Show(on) => show(on, deadline).await,
        }
    }
}

async fn rotate(on: Changing, deadline: Deadline) -> anyhow::Result<()> {
    let target = Target::of(on.database)?;
    let work = async {
        let registry = target.registry(on.operator.actor());
        let rotation = registry.rotate_tag_key().await?;
        Ok(Rotation { rotation, clients: registry.earlier_secrets().await? })
    };
    let rotated = target.change(deadline, UNDECIDED, work).await?;
    if on.format.json {
        output::json(&rotated.json());
        return Ok(());
    }
    let place = &target.place;
    output::say(&format!("The tag key of {place} is rotated. All secrets and tokens still work."));
    output::remark(&format!("Replace the {}, then run `jeton tag-key retire`.", rotated.secrets()));
    Ok(())
}

async fn retire(ending: Ending, deadline: Deadline) -> anyhow::Result<()> {
    let Ending { confirmation, changing: Changing { format, operator, database } } = ending;
    let target = Target::of(database)?;
    let registry = target.registry(operator.actor());
    let looking = target.ready_for(Rotation::read(&registry));
    let found = target.step(deadline, UNCHANGED, looking).await?;
    if found.rotation.has_previous {
        target.confirm(confirmation, &found.consequence(&target.place))?;
    }
    let work = async { Ok(registry.retire_tag_key().await?) };
    target.change(deadline, UNRETIRED, work).await?;
    if format.json {
        output::json(&json!({
            "previous_accepted": false,
            "retired_secrets": found.rotation.earlier_secrets,
        }));
    } else {
        output::say(&format!(
            "The previous tag key of {} is retired, and with it the {}.",
            target.place,
            found.secrets()
        ));
    }
    Ok(())
}

async fn show(on: Reading, deadline: Deadline) -> anyhow::Result<()> {
    let target = Target::of(on.database)?;
    let registry = target.registry(node::this_user());
    let shown = target.look(deadline, Rotation::read(&registry)).await?;
    if on.format.json {
        output::json(&shown.json());
        return Ok(());
    }
    let Rotation { rotation, clients } = shown;
    let since = rotation.since.map(|since| since.to_string());
    let yes_or_no = |is_so| if is_so { "yes" } else { "no" }.to_owned();
    output::properties(&[
        ("current key since", since.unwrap_or_else(|| "the installation".to_owned())),
        ("previous key accepted", yes_or_no(rotation.has_previous)),
        ("rotation interrupted", yes_or_no(rotation.has_next)),
        ("earlier live secrets", rotation.earlier_secrets.to_string()),
    ]);
    if !clients.is_empty() {
        let rows = clients.iter().map(|(client, count)| [client.to_string(), count.to_string()]);
        let columns = [Column::whole("client_id"), Column::whole("earlier live secrets")];
        output::table(columns, rows.collect());
    }
    Ok(())
}

/// How far a rotation is, and the clients that it concerns.
struct Rotation {
    rotation: TagKeyRotation,
    /// Clients with live secrets from before the current key, and how many each has.
    clients: Vec<(ClientId, u64)>,
}

impl Rotation {
    async fn read(registry: &Registry) -> anyhow::Result<Self> {
        let (rotation, clients) =
            (registry.tag_key_rotation().await?, registry.earlier_secrets().await?);
        Ok(Self { rotation, clients })
    }

    fn json(&self) -> Value {
        let client = |(client, count): &(ClientId, u64)| {
            let client = client.as_str();
            json!({ "client_id": client, "earlier_live_secrets": count })
        };
        json!({
            "current_since": self.rotation.since.map(|since| since.to_string()),
            "previous_accepted": self.rotation.has_previous,
            "interrupted": self.rotation.has_next,
            "earlier_live_secrets": self.rotation.earlier_secrets,
            "clients": self.clients.iter().map(client).collect::<Vec<_>>(),
        })
    }

    /// What the retirement of the previous key ends. Tokens are not counted, because there may be
    /// millions of them; whether one can be alive follows from their longest lifetime.
    fn consequence(&self, place: &str) -> String {
        let is_recent = self.rotation.since.is_none_or(|since| {
            let longest = TokenLifetime::MAX.duration() + Duration::from_hours(1);
            SystemClock.now() < since.plus(longest)
        });
        let tokens = if is_recent {
            "All tokens that were issued before that are inactive, too; clients request new ones."
        } else {
            "No token that was issued before that is alive."
        };
        format!("In {place} this ends the {} for good. {tokens}", self.secrets())
    }

    /// The secrets from before the current key, and the first clients that have some.
    fn secrets(&self) -> String {
        const SHOWN: usize = 5;
        let since = self.rotation.since;
        let since = since.map_or_else(|| "the rotation".to_owned(), |since| since.to_string());
        let secrets = match self.rotation.earlier_secrets {
            1 => format!("1 live secret that was created before {since}"),
            count => format!("{count} live secrets that were created before {since}"),
        };
        let clients = self.clients.iter().take(SHOWN).map(|(client, _)| client.to_string());
        let clients = clients.collect::<Vec<_>>().join(", ");
        match self.clients.len() {
            0 => secrets,
            1..=SHOWN => format!("{secrets} (of {clients})"),
            _ => format!("{secrets} (of {clients} and others: `jeton tag-key show`)"),
        }
    }
}
