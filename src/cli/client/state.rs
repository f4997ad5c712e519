//! `jeton client disable`, `enable`, `delete` and `undelete`: whether a client may act.

use clap::Args;
use serde_json::json;

use super::{found, may_be_live, undecided};
use crate::{
    cli::{
        administration::{Changing, Ending, Site},
        arguments::Format,
        deadline::Deadline,
        output,
    },
    domain::{ClientId, ClientState},
};

/// Arguments of a change of one existing client.
#[derive(Debug, Args)]
pub(in crate::cli) struct Changed {
    /// Client identifier
    #[arg(value_name = "CLIENT_ID", value_parser = ClientId::parse)]
    client_id: ClientId,

    #[command(flatten)]
    on: Changing,
}

/// Arguments of a change after which an existing client cannot act.
#[derive(Debug, Args)]
pub(in crate::cli) struct Ended {
    /// Client identifier
    #[arg(value_name = "CLIENT_ID", value_parser = ClientId::parse)]
    client_id: ClientId,

    #[command(flatten)]
    ending: Ending,
}

impl Changed {
    pub(super) async fn enable(self, deadline: Deadline) -> anyhow::Result<()> {
        let site = Site::of(self.on.at)?;
        let clients = site.clients(self.on.operator.actor());
        let enable = clients.set_state(&self.client_id, ClientState::Active);
        let change = Change::of(&self.client_id, "enabled", "");
        change.make(&site, deadline, self.on.format, enable).await
    }

    pub(super) async fn undelete(self, deadline: Deadline) -> anyhow::Result<()> {
        let client = &self.client_id;
        let site = Site::of(self.on.at)?;
        let clients = site.clients(self.on.operator.actor());
        let consequence = format!(
            ", disabled. Its secrets are retired: `jeton client restore-secret {client} SECRET_ID` \
             restores one, `jeton client add-secret {client}` adds another. Then `jeton client \
             enable {client}` lets it work"
        );
        let change = Change::of(client, "undeleted", &consequence);
        change.make(&site, deadline, self.on.format, clients.undelete(client)).await
    }
}

impl Ended {
    pub(super) async fn disable(self, deadline: Deadline) -> anyhow::Result<()> {
        let client = &self.client_id;
        let site = Site::of(self.ending.changing.at)?;
        if site.is_to_confirm(self.ending.confirmation) {
            // A client that does not exist is told before the question.
            let _ = found(&site, deadline, client).await?;
            let consequence = format!(
                "This disables client {client} in {}: it cannot authenticate and its tokens are \
                 inactive, until `jeton client enable {client}`.",
                site.place
            );
            site.confirm(self.ending.confirmation, Some(client), &consequence)?;
        }
        let clients = site.clients(self.ending.changing.operator.actor());
        let disable = clients.set_state(client, ClientState::Disabled);
        let change = Change::of(client, "disabled", "");
        change.make(&site, deadline, self.ending.changing.format, disable).await
    }

    pub(super) async fn delete(self, deadline: Deadline) -> anyhow::Result<()> {
        let client = &self.client_id;
        let site = Site::of(self.ending.changing.at)?;
        if site.is_to_confirm(self.ending.confirmation) {
            let (_, secrets) = found(&site, deadline, client).await?;
            let consequence = format!(
                "This deletes client {client} from {} with its {} live secrets, and its tokens \
                 become inactive. For 30 days `jeton client undelete {client}` takes that back, \
                 without the tokens.",
                site.place,
                secrets.iter().filter(|secret| may_be_live(secret)).count()
            );
            site.confirm(self.ending.confirmation, Some(client), &consequence)?;
        }
        let clients = site.clients(self.ending.changing.operator.actor());
        let change = Change::of(client, "deleted", "; its tokens are inactive");
        change.make(&site, deadline, self.ending.changing.format, clients.delete(client)).await
    }
}

/// A change of a client, for the messages about it.
struct Change<'a> {
    client: &'a ClientId,
    /// What the client is afterwards.
    to_be: &'static str,
    /// What else is then the case.
    consequence: &'a str,
}

impl<'a> Change<'a> {
    const fn of(client: &'a ClientId, to_be: &'static str, consequence: &'a str) -> Self {
        Self { client, to_be, consequence }
    }

    async fn make(
        self,
        site: &Site,
        deadline: Deadline,
        format: Format,
        work: impl Future<Output = anyhow::Result<()>>,
    ) -> anyhow::Result<()> {
        let Self { client, to_be, consequence } = self;
        let undecided = undecided(client, &format!("Client {client} may or may not be {to_be}"));
        site.change(deadline, &undecided, work).await?;
        if format.json {
            output::json(&json!({ "client_id": client.as_str(), "done": to_be }));
        } else {
            let place = &site.place;
            output::say(&format!("Client {client} is {to_be} in {place}{consequence}."));
        }
        Ok(())
    }
}
