//! `jeton client retire-secret` and `jeton client restore-secret`.

use std::time::Duration;

use clap::Args;
use serde_json::json;
use uuid::Uuid;

use super::{create::ends, found, may_be_live, output, undecided};
use crate::{
    cli::{
        arguments::{Changing, Ending, Format},
        deadline::Deadline,
        duration::parse_duration,
        target::Target,
    },
    domain::{ClientId, Clock, SecretId, StoredSecret, SystemClock, Timestamp},
    registry::leaves_no_secret,
    store::{Readable, Retirement},
};

#[derive(Debug, Args)]
pub(in crate::cli) struct Retire {
    /// Client identifier
    #[arg(value_name = "CLIENT_ID", value_parser = ClientId::parse)]
    client_id: ClientId,

    /// Id of the secret, as listed by `jeton client show`
    #[arg(value_name = "SECRET_ID", value_parser = secret_id)]
    secret_id: Uuid,

    /// Declare the secret leaked: revoke the tokens issued with it as well
    #[arg(long)]
    leaked: bool,

    /// Retire it after this time, such as 24h, until which it still authenticates [default: now]
    #[arg(long, value_name = "TIME", value_parser = parse_duration, conflicts_with = "leaked")]
    after: Option<Duration>,

    /// Retire it even if it was used within the last day
    #[arg(long)]
    even_if_in_use: bool,

    #[command(flatten)]
    ending: Ending,
}

impl Retire {
    pub(super) async fn run(self, deadline: Deadline) -> anyhow::Result<()> {
        let retirement = self.retirement(SystemClock.now());
        let (client, secret) = (&self.client_id, SecretId(self.secret_id));
        let id = self.secret_id;
        let undecided = undecided(client, &format!("Secret {id} may or may not be retired"));
        let target = Target::of(self.ending.changing.database)?;
        // A script that names the client has decided already, and a person decides when asked.
        let mut even_if_last = self.leaked || !self.ending.confirmation.is_to_be_asked();
        if self.ending.confirmation.is_to_be_asked() {
            let (_, secrets) = found(&target, deadline, client).await?;
            if leaves_no_secret(&secrets, &[secret], SystemClock.now()) {
                self.ending.confirmation.ask(&format!(
                    "Secret {id} is the last live secret of client {client} in {}: without it \
                     the client cannot authenticate. `jeton client add-secret {client}` adds \
                     another first.",
                    target.place
                ))?;
                even_if_last = true;
            }
        }
        let work = async {
            let registry = target.registry(self.ending.changing.operator.actor());
            // A secret that leaked must end, however much it is used.
            if !self.leaked && !self.even_if_in_use {
                registry.check_unused(client, secret).await?;
            }
            if even_if_last {
                registry.retire_secret(client, secret, retirement).await?;
            } else {
                registry.retire_unless_last(client, secret, retirement).await?;
            }
            Ok(registry.show_client(client).await?.1)
        };
        let secrets = target.change(deadline, &undecided, work).await?;
        let done = Done { client, secret, retirement, secrets, place: &target.place };
        done.tell(self.ending.changing.format);
        Ok(())
    }

    fn retirement(&self, now: Timestamp) -> Retirement {
        match self.after {
            _ if self.leaked => Retirement::Leaked,
            Some(after) if !after.is_zero() => Retirement::At(now.plus(after)),
            _ => Retirement::Retired,
        }
    }
}

/// A secret that was retired, and all secrets of its client after that.
struct Done<'a> {
    client: &'a ClientId,
    secret: SecretId,
    retirement: Retirement,
    secrets: Vec<Readable<StoredSecret>>,
    place: &'a str,
}

impl Done<'_> {
    fn tell(&self, format: Format) {
        let Self { client, secret: SecretId(secret), place, .. } = self;
        let live = self.secrets.iter().filter(|secret| may_be_live(secret)).count();
        let it = self.secrets.iter().flatten().find(|one| one.id.0 == *secret);
        let retiring = it.and_then(|secret| secret.retiring);
        let later = retiring.filter(|_| matches!(self.retirement, Retirement::At(_)));
        if format.json {
            let mut object = json!({
                "client_id": client.as_str(),
                "secret_id": secret,
                "done": match self.retirement {
                    Retirement::Leaked => "leaked",
                    Retirement::Retired => "retired",
                    Retirement::At(_) => "retiring",
                },
                "live_secrets_left": live,
            });
            if let Some(later) = later {
                object["retire_at"] = json!(later.at.to_string());
            }
            output::json(&object);
            return;
        }
        if let Some(later) = later {
            output::say(&format!(
                "Secret {secret} is refused from {} on in {place}. `jeton client restore-secret \
                 {client} {secret}` takes that back.",
                later.at
            ));
            return;
        }
        let is_leaked = it.is_some_and(|secret| secret.leaked_at.is_some());
        let tokens = if is_leaked { "are revoked" } else { "stay active until they expire" };
        output::say(&format!(
            "Secret {secret} is retired in {place}; tokens issued with it {tokens}."
        ));
        if live == 0 {
            output::remark(&format!("Client {client} has no live secret left."));
        }
    }
}

#[derive(Debug, Args)]
pub(in crate::cli) struct Restore {
    /// Client identifier
    #[arg(value_name = "CLIENT_ID", value_parser = ClientId::parse)]
    client_id: ClientId,

    /// Id of the secret, as listed by `jeton client secrets`
    #[arg(value_name = "SECRET_ID", value_parser = secret_id)]
    secret_id: Uuid,

    #[command(flatten)]
    on: Changing,
}

impl Restore {
    pub(super) async fn run(self, deadline: Deadline) -> anyhow::Result<()> {
        let (client, id) = (&self.client_id, self.secret_id);
        let undecided = undecided(client, &format!("Secret {id} may or may not be restored"));
        let target = Target::of(self.on.database)?;
        let work = async {
            let registry = target.registry(self.on.operator.actor());
            Ok(registry.restore_secret(client, SecretId(id)).await?)
        };
        let restored = target.change(deadline, &undecided, work).await?;
        if self.on.format.json {
            output::json(&json!({
                "client_id": client.as_str(),
                "secret_id": id,
                "done": "restored",
                "expires_at": restored.expires_at.map(|end| end.to_string()),
            }));
        } else {
            let (place, end) = (&target.place, ends(restored.expires_at));
            output::say(&format!("Secret {id} is live in {place}; expires: {end}."));
        }
        Ok(())
    }
}

pub(super) fn secret_id(text: &str) -> Result<Uuid, &'static str> {
    text.parse().map_err(|_| "a secret id is a UUID, as listed by `jeton client show`")
}
