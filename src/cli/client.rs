//! `jeton client …`: straight on the database.

mod create;
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
            Self::RevokeTokens(named) => named.revoke_tokens(deadline).await,
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

    async fn revoke_tokens(self, deadline: Deadline) -> anyhow::Result<()> {
        let client = &self.client_id;
        let what = format!("The tokens of client {client} may or may not be revoked");
        let undecided = undecided(client, &what);
        let target = Target::of(self.database)?;
        let work = async {
            let registry = target.registry(self.operator.actor());
            Ok(registry.revoke_tokens(client).await?)
        };
        target.change(deadline, &undecided, work).await?;
        output::say(&format!("All tokens that client {client} had are revoked."));
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
        output::say(&format!("Client {client} is deleted; its tokens are dead."));
        Ok(())
    }
}

/// What is said of a change of a client that was given up: it can be asked for again.
fn undecided(client: &ClientId, what: &str) -> String {
    format!(
        "{what}, and may still become so: look with `jeton client show {client}`, then give the \
         command again."
    )
}
