//! `jeton client add-secret` and `jeton client retire-secret`.

use anyhow::bail;
use clap::Args;
use serde_json::json;
use uuid::Uuid;

use super::{create::ends, found, may_be_live, output, undecided};
use crate::{
    cli::{
        arguments::{Changing, Ending, Format},
        deadline::Deadline,
        target::Target,
    },
    config::{Argon2, LifetimeSeconds, NewSecrets},
    domain::{
        ClientId, ClientKey, ClientSecret, Clock, SecretId, StoredSecret, SystemClock, Timestamp,
        parse_label,
    },
    registry::{NewSecret, Registry},
    store::{Readable, Retirement},
};

#[derive(Debug, Args)]
pub(in crate::cli) struct Add {
    /// Client identifier
    #[arg(value_name = "CLIENT_ID", value_parser = ClientId::parse)]
    client_id: ClientId,

    /// Label of the secret
    #[arg(long, default_value = "", value_parser = parse_label)]
    label: String,

    /// Lifetime of the secret, in seconds, or `never` [default: --secret-lifetime-days]
    #[arg(long, value_name = "S")]
    expires_in: Option<LifetimeSeconds>,

    #[command(flatten)]
    on: Changing,

    #[command(flatten)]
    new_secrets: NewSecrets,

    #[command(flatten)]
    argon2: Argon2,
}

impl Add {
    pub(super) async fn run(self, deadline: Deadline) -> anyhow::Result<()> {
        let expires_at = self.new_secrets.expiry(self.expires_in, SystemClock.now());
        let new = NewSecret { label: self.label, expires_at };
        let client = &self.client_id;
        let undecided = format!(
            "A secret that nobody knows may have been added: check with `jeton client show \
             {client}`, and retire it before you run the command again."
        );
        let cost = self.argon2.cost()?;
        output::check_writable()?;
        let target = Target::of(self.on.database)?;
        let work = async {
            let registry = target.hashing_registry(self.on.operator.actor(), cost);
            let (_, secret) = registry.add_secret(client, new).await?;
            let made = Made { client, secret: &secret, expires_at };
            made.hand_over(&registry, None, self.on.format).await
        };
        target.change(deadline, &undecided, work).await
    }
}

/// A new secret, which is shown once.
pub(super) struct Made<'a> {
    pub(super) client: &'a ClientId,
    pub(super) secret: &'a ClientSecret,
    pub(super) expires_at: Option<Timestamp>,
}

impl Made<'_> {
    /// Shows the secret, with the `key` of a new client. If it cannot be written, nobody knows it,
    /// so it is retired.
    pub(super) async fn hand_over(
        &self,
        registry: &Registry,
        key: Option<ClientKey>,
        format: Format,
    ) -> anyhow::Result<()> {
        let Self { client, secret, expires_at } = self;
        if let Err(error) = output::deliver(&format!("{}\n", self.text(key, format))) {
            let retired = registry.retire_secret(client, secret.id(), Retirement::Retired).await;
            let id = secret.id().0;
            bail!(
                "the new secret {id} of client {client} is lost, because standard output cannot be \
                 written: {error}. {}; `jeton client add-secret {client}` makes another",
                match retired {
                    Ok(()) => "It is retired".to_owned(),
                    Err(_) => format!("Retire it: `jeton client retire-secret {client} {id}`"),
                }
            );
        }
        output::remark("Keep the secret now: it is not stored and cannot be shown again.");
        output::remark(&match expires_at {
            Some(end) => format!(
                "It is refused from {end} on: add another with `jeton client add-secret` before \
                 that."
            ),
            None => "It never expires: replace it now and then, as it may have leaked unnoticed."
                .to_owned(),
        });
        Ok(())
    }

    fn text(&self, key: Option<ClientKey>, format: Format) -> String {
        let Self { client, secret, expires_at } = self;
        if !format.json {
            return output::properties_text(&[
                ("client_id", client.to_string()),
                ("client_secret", secret.expose().to_owned()),
                ("secret_id", secret.id().0.to_string()),
                ("secret_expires", ends(*expires_at)),
            ]);
        }
        let mut object = json!({
            "client_id": client.as_str(),
            "client_secret": secret.expose(),
            "secret_id": secret.id().0,
            "secret_expires_at": expires_at.map(|end| end.to_string()),
        });
        if let Some(ClientKey(key)) = key {
            object["id"] = json!(key);
        }
        format!("{object:#}")
    }
}

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

    #[command(flatten)]
    ending: Ending,
}

impl Retire {
    pub(super) async fn run(self, deadline: Deadline) -> anyhow::Result<()> {
        let retirement = if self.leaked { Retirement::Leaked } else { Retirement::Retired };
        let (client, secret) = (&self.client_id, self.secret_id);
        let undecided = undecided(client, &format!("Secret {secret} may or may not be retired"));
        let target = Target::of(self.ending.changing.database)?;
        if self.ending.confirmation.is_to_be_asked() {
            let (_, secrets) = found(&target, deadline, client).await?;
            if is_last_live(&secrets, SecretId(secret)) {
                self.ending.confirmation.ask(&format!(
                    "Secret {secret} is the last live secret of client {client} in {}: without it \
                     the client cannot authenticate. `jeton client add-secret {client}` adds \
                     another first.",
                    target.place
                ))?;
            }
        }
        let work = async {
            let registry = target.registry(self.ending.changing.operator.actor());
            registry.retire_secret(client, SecretId(secret), retirement).await?;
            Ok(registry.show_client(client).await?.1)
        };
        let secrets = target.change(deadline, &undecided, work).await?;
        let live = secrets.iter().filter(|secret| may_be_live(secret)).count();
        if self.ending.changing.format.json {
            output::json(&json!({
                "client_id": client.as_str(),
                "secret_id": secret,
                "done": if self.leaked { "leaked" } else { "retired" },
                "live_secrets_left": live,
            }));
            return Ok(());
        }
        let is_leaked = secrets
            .iter()
            .flatten()
            .any(|one| one.id == SecretId(secret) && one.leaked_at.is_some());
        let tokens = if is_leaked { "are revoked" } else { "stay active until they expire" };
        let place = &target.place;
        output::say(&format!(
            "Secret {secret} is retired in {place}; tokens issued with it {tokens}."
        ));
        if live == 0 {
            output::remark(&format!("Client {client} has no live secret left."));
        }
        Ok(())
    }
}

/// Whether this secret is live and no other one is.
fn is_last_live(secrets: &[Readable<StoredSecret>], id: SecretId) -> bool {
    let is_it = |secret: &Readable<StoredSecret>| match secret {
        Ok(secret) => secret.id == id,
        Err(row) => row.id == Some(id.0),
    };
    let mut live = secrets.iter().filter(|secret| may_be_live(secret)).peekable();
    live.peek().is_some() && live.all(is_it)
}

fn secret_id(text: &str) -> Result<Uuid, &'static str> {
    text.parse().map_err(|_| "a secret id is a UUID, as listed by `jeton client show`")
}
