//! `jeton client …`: straight on the database.

mod create;
mod secrets;
mod show;

use std::{path::PathBuf, sync::Arc};

use anyhow::Context;
use clap::{Args, Subcommand};

use super::{
    node::{self, Database, Operator},
    output,
};
use crate::{
    domain::{Actor, ClientId, ClientState, OsRandom, SystemClock},
    registry::Registry,
};

#[derive(Debug, Subcommand)]
#[command(after_help = "\
Example:
  jeton client create --client-id orders --scope orders.read --audience https://a.example.com")]
pub(super) enum ClientCommand {
    /// Register a client and make its first secret, which is shown once
    #[command(after_help = "\
Examples:
  jeton client create --client-id orders --scope orders.read --audience https://stock.example.com
  jeton client create --client-id stock --serves https://stock.example.com --no-grant --json")]
    Create(create::Create),
    /// List all clients
    #[command(after_help = "\
Example:
  jeton client list --database-url postgres://jeton@localhost/jeton")]
    List(show::List),
    /// Show a client and its secrets
    #[command(after_help = "\
Example:
  jeton client show orders --json")]
    Show(show::Show),
    /// Stop a client: it cannot authenticate, and its tokens read as inactive
    #[command(after_help = "\
Example:
  jeton client disable orders")]
    Disable(Named),
    /// Let a disabled client act again; tokens that have not expired count again
    #[command(after_help = "\
Example:
  jeton client enable orders")]
    Enable(Named),
    /// Revoke all tokens that a client has now; it can ask for new ones
    #[command(after_help = "\
Example:
  jeton client revoke-tokens orders")]
    RevokeTokens(Named),
    /// Delete a client with its secrets; its tokens are dead, also if the name is given again
    #[command(after_help = "\
Example:
  jeton client delete orders")]
    Delete(Named),
    /// Make one more secret, which is shown once; the others go on working
    #[command(after_help = "\
Example:
  jeton client add-secret orders --label 2027")]
    AddSecret(secrets::Add),
    /// Take a secret out of use
    #[command(after_help = "\
Examples:
  jeton client retire-secret orders 0b8d9d5e-7c6b-4e0f-8f0e-2f1d6a3c9b7a
  jeton client retire-secret orders 0b8d9d5e-7c6b-4e0f-8f0e-2f1d6a3c9b7a --leaked")]
    RetireSecret(secrets::Retire),
}

/// One client by its name.
#[derive(Debug, Args)]
pub(super) struct Named {
    /// The client
    #[arg(value_name = "CLIENT_ID", value_parser = ClientId::parse)]
    client_id: ClientId,

    #[command(flatten)]
    operator: Operator,

    #[command(flatten)]
    database: Database,
}

impl ClientCommand {
    pub(super) async fn run(self, file: Option<&PathBuf>) -> anyhow::Result<()> {
        match self {
            Self::Create(create) => create.run(file).await,
            Self::List(list) => list.run(file).await,
            Self::Show(show) => show.run(file).await,
            Self::Disable(named) => named.set_state(file, ClientState::Disabled).await,
            Self::Enable(named) => named.set_state(file, ClientState::Active).await,
            Self::RevokeTokens(named) => named.revoke_tokens(file).await,
            Self::Delete(named) => named.delete(file).await,
            Self::AddSecret(add) => add.run(file).await,
            Self::RetireSecret(retire) => retire.run(file).await,
        }
    }
}

impl Named {
    async fn set_state(self, file: Option<&PathBuf>, state: ClientState) -> anyhow::Result<()> {
        let registry = open(self.database, self.operator.actor(), file).await?;
        registry.set_client_state(&self.client_id, state).await?;
        output::say(&format!("Client {} is {}.", self.client_id, state.as_str()));
        Ok(())
    }

    async fn revoke_tokens(self, file: Option<&PathBuf>) -> anyhow::Result<()> {
        let registry = open(self.database, self.operator.actor(), file).await?;
        registry.revoke_tokens(&self.client_id).await?;
        output::say(&format!("All tokens that client {} had are revoked.", self.client_id));
        Ok(())
    }

    async fn delete(self, file: Option<&PathBuf>) -> anyhow::Result<()> {
        let registry = open(self.database, self.operator.actor(), file).await?;
        registry.delete_client(&self.client_id).await?;
        output::say(&format!("Client {} is deleted; its tokens are dead.", self.client_id));
        Ok(())
    }
}

/// The registry on the database that the flags name.
async fn open(
    database: Database,
    actor: Actor,
    file: Option<&PathBuf>,
) -> anyhow::Result<Registry> {
    let config = database.config(file)?;
    let store = node::open_store(&config)?;
    node::require_schema(store.as_ref()).await?;
    let cost = node::hash_cost(&config);
    Registry::open(store, Arc::new(SystemClock), Arc::new(OsRandom), cost, actor)
        .await
        .context("the database cannot be used")
}
