//! `jeton client …`: manages clients and their secrets, directly in the database.

mod create;
mod quota;
mod revoke;
mod secrets;
mod show;

use clap::{Args, Subcommand};

use super::{deadline::Deadline, node::Operator, output, target::Target, unreadable};
use crate::{
    config::Database,
    domain::{ClientId, ClientState},
};

#[derive(Debug, Subcommand)]
#[command(after_help = "\
Example:
  jeton client create --client-id orders --scope orders.read --audience https://a.example.com")]
pub(super) enum ClientCommand {
    /// Register a client and create its first secret, which is shown once
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
    /// Disable a client: it cannot authenticate, and its tokens become inactive
    #[command(after_help = "\
Example:
  jeton client disable orders")]
    Disable(Named),
    /// Enable a disabled client; its tokens that have not expired become active again
    #[command(after_help = "\
Example:
  jeton client enable orders")]
    Enable(Named),
    /// Set the quota of a client: how fast tokens are issued to it, and how many may live
    #[command(after_help = "\
Limits that are not named are those of the node again. A running node applies the change at once;
whether it refuses or only counts is its setting --quota.

Examples:
  jeton client set-quota orders --tokens-per-second 200 --token-burst 2000
  jeton client set-quota orders")]
    SetQuota(quota::SetQuota),
    /// Revoke all current tokens of a client, or of all clients; they can request new ones
    #[command(after_help = "\
Examples:
  jeton client revoke-tokens orders
  jeton client revoke-tokens --all --yes")]
    RevokeTokens(revoke::RevokeTokens),
    /// Delete a client and its secrets; its tokens stay inactive even if the name is reused
    #[command(after_help = "\
Example:
  jeton client delete orders")]
    Delete(Named),
    /// Add a secret, which is shown once; existing secrets keep working
    #[command(after_help = "\
Example:
  jeton client add-secret orders --label 2027")]
    AddSecret(secrets::Add),
    /// Retire a secret, so that it no longer authenticates
    #[command(after_help = "\
Examples:
  jeton client retire-secret orders 0b8d9d5e-7c6b-4e0f-8f0e-2f1d6a3c9b7a
  jeton client retire-secret orders 0b8d9d5e-7c6b-4e0f-8f0e-2f1d6a3c9b7a --leaked")]
    RetireSecret(secrets::Retire),
}

/// Arguments of a change of one existing client.
#[derive(Debug, Args)]
pub(super) struct Named {
    /// Client identifier
    #[arg(value_name = "CLIENT_ID", value_parser = ClientId::parse)]
    client_id: ClientId,

    #[command(flatten)]
    operator: Operator,

    #[command(flatten)]
    database: Database,
}

impl ClientCommand {
    pub(super) async fn run(self, deadline: Deadline) -> anyhow::Result<()> {
        match self {
            Self::Create(create) => create.run(deadline).await,
            Self::List(list) => list.run(deadline).await,
            Self::Show(show) => show.run(deadline).await,
            Self::Disable(named) => named.set_state(deadline, ClientState::Disabled).await,
            Self::Enable(named) => named.set_state(deadline, ClientState::Active).await,
            Self::SetQuota(set) => set.run(deadline).await,
            Self::RevokeTokens(revoke) => revoke.run(deadline).await,
            Self::Delete(named) => named.delete(deadline).await,
            Self::AddSecret(add) => add.run(deadline).await,
            Self::RetireSecret(retire) => retire.run(deadline).await,
        }
    }
}

impl Named {
    async fn set_state(self, deadline: Deadline, state: ClientState) -> anyhow::Result<()> {
        let (client, to_be) = (&self.client_id, state.as_str());
        let undecided = undecided(client, &format!("Client {client} may or may not be {to_be}"));
        let target = Target::of(self.database)?;
        let work = async {
            let registry = target.registry(self.operator.actor());
            Ok(registry.set_client_state(client, state).await?)
        };
        target.change(deadline, &undecided, work).await?;
        output::say(&format!("Client {client} is {to_be}."));
        Ok(())
    }

    async fn delete(self, deadline: Deadline) -> anyhow::Result<()> {
        let client = &self.client_id;
        let undecided = undecided(client, &format!("Client {client} may or may not be deleted"));
        let target = Target::of(self.database)?;
        let work = async {
            let registry = target.registry(self.operator.actor());
            Ok(registry.delete_client(client).await?)
        };
        target.change(deadline, &undecided, work).await?;
        output::say(&format!("Client {client} is deleted; its tokens are inactive."));
        Ok(())
    }
}

/// Message if a change of a client times out. Such a change can be repeated safely.
fn undecided(client: &ClientId, what: &str) -> String {
    format!(
        "{what}, and the change may still take effect: check with `jeton client show {client}`, \
         then run the command again."
    )
}
