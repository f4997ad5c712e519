//! `jeton client retire-secret` and `jeton client restore-secret`.

use std::time::Duration;

use clap::Args;
use serde_json::json;
use uuid::Uuid;

use super::{create::ends, found, may_be_live, output, undecided};
use crate::{
    cli::{
        administration::{Changing, Consent, Ending, Site},
        arguments::Format,
        deadline::Deadline,
        duration::parse_duration,
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
        let (confirmation, changing) = (self.ending.confirmation, self.ending.changing);
        let site = Site::of(changing.at)?;
        // A script that names the client has decided already, and a person decides when asked.
        let mut even_if_last = self.leaked || !site.is_to_confirm(confirmation);
        if site.is_to_confirm(confirmation) {
            let (_, secrets) = found(&site, deadline, client).await?;
            let place = &site.place;
            if leaves_no_secret(&secrets, &[secret], SystemClock.now()) {
                let consequence = format!(
                    "Secret {id} is the last live secret of client {client} in {place}: without \
                     it the client cannot authenticate. `jeton client add-secret {client}` adds \
                     another first."
                );
                site.confirm(confirmation, Some(client), &consequence)?;
                even_if_last = true;
            } else if site.is_protected() {
                let consequence =
                    format!("This retires secret {id} of client {client} in {place}.");
                site.confirm(confirmation, Some(client), &consequence)?;
            }
        }
        let even_if_in_use = self.even_if_in_use;
        let work = async {
            let clients = site.clients(changing.operator.actor());
            let consent = Consent { even_if_in_use, even_if_last };
            clients.retire_secret(client, secret, retirement, consent).await?;
            Ok(clients.show(client).await?.1)
        };
        let secrets = site.change(deadline, &undecided, work).await?;
        let done = Done { client, secret, retirement, secrets, place: &site.place };
        done.tell(changing.format);
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
        let site = Site::of(self.on.at)?;
        let clients = site.clients(self.on.operator.actor());
        let restore = clients.restore_secret(client, SecretId(id));
        let expires_at = site.change(deadline, &undecided, restore).await?;
        if self.on.format.json {
            output::json(&json!({
                "client_id": client.as_str(),
                "secret_id": id,
                "done": "restored",
                "expires_at": expires_at.map(|end| end.to_string()),
            }));
        } else {
            let (place, end) = (&site.place, ends(expires_at));
            output::say(&format!("Secret {id} is live in {place}; expires: {end}."));
        }
        Ok(())
    }
}

pub(super) fn secret_id(text: &str) -> Result<Uuid, &'static str> {
    text.parse().map_err(|_| "a secret id is a UUID, as listed by `jeton client show`")
}
