//! `jeton client add-secret` and `jeton client retire-secret`.

use clap::Args;
use serde_json::json;
use uuid::Uuid;

use super::{
    create::{ends, remark_on_new_secret},
    output, undecided,
};
use crate::{
    cli::{deadline::Deadline, node::Operator, target::Target},
    config::{Argon2, Database, LifetimeSeconds, NewSecrets},
    domain::{ClientId, Clock, SecretId, SystemClock},
    registry::NewSecret,
    store::Retirement,
};

#[derive(Debug, Args)]
pub(in crate::cli) struct Add {
    /// Client identifier
    #[arg(value_name = "CLIENT_ID", value_parser = ClientId::parse)]
    client_id: ClientId,

    /// Label of the secret
    #[arg(long, default_value = "")]
    label: String,

    /// Lifetime of the secret, in seconds, or `never` [default: --secret-lifetime-days]
    #[arg(long, value_name = "S")]
    expires_in: Option<LifetimeSeconds>,

    /// Print JSON
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    operator: Operator,

    #[command(flatten)]
    database: Database,

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
        let target = Target::of(self.database)?;
        let work = async {
            let registry = target.hashing_registry(self.operator.actor(), cost);
            Ok(registry.add_secret(client, new).await?)
        };
        let (stored, secret) = target.change(deadline, &undecided, work).await?;
        if self.json {
            output::json(&json!({
                "client_id": self.client_id.as_str(),
                "client_secret": secret.expose(),
                "secret_id": stored.id.0,
                "secret_expires_at": expires_at.map(|end| end.to_string()),
            }));
        } else {
            output::properties(&[
                ("client_id", self.client_id.to_string()),
                ("client_secret", secret.expose().to_owned()),
                ("secret_id", stored.id.0.to_string()),
                ("secret_expires", ends(expires_at)),
            ]);
            remark_on_new_secret(expires_at);
        }
        Ok(())
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
    operator: Operator,

    #[command(flatten)]
    database: Database,
}

impl Retire {
    pub(super) async fn run(self, deadline: Deadline) -> anyhow::Result<()> {
        let retirement = if self.leaked { Retirement::Leaked } else { Retirement::Retired };
        let (client, secret) = (&self.client_id, self.secret_id);
        let undecided = undecided(client, &format!("Secret {secret} may or may not be retired"));
        let tokens = if self.leaked { "are revoked" } else { "stay active until they expire" };
        let target = Target::of(self.database)?;
        let work = async {
            let registry = target.registry(self.operator.actor());
            registry.retire_secret(client, SecretId(secret), retirement).await?;
            output::say(&format!("Secret {secret} is retired; tokens issued with it {tokens}."));
            Ok(registry.show_client(client).await?.1)
        };
        let secrets = target.change(deadline, &undecided, work).await?;
        let now = SystemClock.now();
        // A secret that cannot be read may be live.
        if !secrets.iter().any(|secret| secret.as_ref().map_or(true, |secret| secret.is_live(now)))
        {
            output::remark(&format!("Client {} has no live secret left.", self.client_id));
        }
        Ok(())
    }
}

fn secret_id(text: &str) -> Result<Uuid, &'static str> {
    text.parse().map_err(|_| "a secret id is a UUID, as listed by `jeton client show`")
}
