//! `jeton client revoke-tokens`: of one client, or of all.

use clap::Args;
use serde_json::json;

use super::{output, undecided};
use crate::{
    cli::{
        administration::{Ending, Site},
        deadline::Deadline,
    },
    domain::ClientId,
};

#[derive(Debug, Args)]
pub(in crate::cli) struct RevokeTokens {
    /// Client identifier
    #[arg(value_name = "CLIENT_ID", value_parser = ClientId::parse,
          required_unless_present = "all")]
    client_id: Option<ClientId>,

    /// Revoke the tokens of all clients
    #[arg(long, conflicts_with = "client_id")]
    all: bool,

    #[command(flatten)]
    ending: Ending,
}

/// Message if the revocation of all tokens times out. It can be repeated safely.
const UNDECIDED: &str = "The tokens of all clients may or may not be revoked, and the change may \
    still take effect: run the command again.";

impl RevokeTokens {
    pub(super) async fn run(self, deadline: Deadline) -> anyhow::Result<()> {
        let Ending { confirmation, changing } = self.ending;
        let (site, client) = (Site::of(changing.at)?, self.client_id.as_ref());
        if client.is_none() || site.is_protected() {
            let place = &site.place;
            let consequence = match client {
                Some(client) => format!(
                    "This revokes every token of client {client} in {place}. It has to \
                     authenticate to get a new one."
                ),
                None => format!(
                    "This revokes every token of every client in {place}. All clients request new \
                     ones at once, and each of them has to authenticate for that."
                ),
            };
            site.confirm(confirmation, client, &consequence)?;
        }
        let undecided = match &self.client_id {
            Some(client) => undecided(
                client,
                &format!("The tokens of client {client} may or may not be revoked"),
            ),
            None => UNDECIDED.to_owned(),
        };
        let clients = site.clients(changing.operator.actor());
        site.change(deadline, &undecided, clients.revoke(client)).await?;
        if changing.format.json {
            let client = self.client_id.as_ref().map(ClientId::as_str);
            output::json(&json!({ "client_id": client, "revoked": true }));
        } else {
            let of = self.client_id.map(|client| format!(" that client {client} had"));
            output::say(&format!(
                "All tokens{} are revoked in {}.",
                of.unwrap_or_default(),
                site.place
            ));
        }
        Ok(())
    }
}
