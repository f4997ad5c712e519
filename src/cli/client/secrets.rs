//! `jeton client add-secret` and `jeton client retire-secret`

use std::path::PathBuf;

use clap::Args;
use serde_json::json;
use uuid::Uuid;

use super::{
    create::{expiry, secret_lifetime},
    open, output,
};
use crate::{
    cli::node::{Database, Operator},
    domain::{ClientId, SecretId},
    registry::NewSecret,
    store::Retirement,
};

#[derive(Debug, Args)]
pub(in crate::cli) struct Add {
    /// The client
    #[arg(value_name = "CLIENT_ID", value_parser = ClientId::parse)]
    client_id: ClientId,

    /// What people call the secret
    #[arg(long, default_value = "")]
    label: String,

    /// After how many seconds it is refused  [default: never]
    #[arg(long, value_name = "S", value_parser = secret_lifetime())]
    expires_in: Option<u64>,

    /// Print JSON
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    operator: Operator,

    #[command(flatten)]
    database: Database,
}

impl Add {
    pub(super) async fn run(self, file: Option<&PathBuf>) -> anyhow::Result<()> {
        let new = NewSecret { label: self.label, expires_at: expiry(self.expires_in) };
        let registry = open(self.database, self.operator.actor(), file).await?;
        let (stored, secret) = registry.add_secret(&self.client_id, new).await?;
        if self.json {
            output::json(&json!({
                "client_id": self.client_id.as_str(),
                "client_secret": secret.expose(),
                "secret_id": stored.id.0,
            }));
        } else {
            output::properties(&[
                ("client_id", self.client_id.to_string()),
                ("client_secret", secret.expose().to_owned()),
                ("secret_id", stored.id.0.to_string()),
            ]);
            output::remark("Keep the secret now: it is not stored and cannot be shown again.");
        }
        Ok(())
    }
}

#[derive(Debug, Args)]
pub(in crate::cli) struct Retire {
    /// The client
    #[arg(value_name = "CLIENT_ID", value_parser = ClientId::parse)]
    client_id: ClientId,

    /// The secret, by the id that `jeton client show` lists
    #[arg(value_name = "SECRET_ID", value_parser = secret_id)]
    secret_id: Uuid,

    /// The secret has leaked: tokens issued with it are dead at once
    #[arg(long)]
    leaked: bool,

    #[command(flatten)]
    operator: Operator,

    #[command(flatten)]
    database: Database,
}

impl Retire {
    pub(super) async fn run(self, file: Option<&PathBuf>) -> anyhow::Result<()> {
        let retirement = if self.leaked { Retirement::Burnt } else { Retirement::Retired };
        let registry = open(self.database, self.operator.actor(), file).await?;
        registry.retire_secret(&self.client_id, SecretId(self.secret_id), retirement).await?;
        let tokens = if self.leaked { "are dead" } else { "live on until they expire" };
        output::say(&format!(
            "Secret {} is retired; tokens issued with it {tokens}.",
            self.secret_id
        ));
        let (_, secrets) = registry.show_client(&self.client_id).await?;
        let now = crate::domain::Clock::now(&crate::domain::SystemClock);
        if !secrets.iter().any(|secret| secret.is_live(now)) {
            output::remark(&format!("Client {} has no live secret left.", self.client_id));
        }
        Ok(())
    }
}

fn secret_id(text: &str) -> Result<Uuid, &'static str> {
    text.parse().map_err(|_| "a secret id is a UUID, as `jeton client show` lists it")
}
