//! `jeton client disable`, `enable`, `delete` and `undelete`: whether a client may act.

use clap::Args;
use serde_json::json;

use super::{found, may_be_live, undecided};
use crate::{
    cli::{
        arguments::{Changing, Ending, Format},
        deadline::Deadline,
        output,
        target::Target,
    },
    domain::{ClientId, ClientState},
    registry::RegistryError,
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
        let target = Target::of(self.on.database)?;
        let registry = target.registry(self.on.operator.actor());
        let enable = registry.set_client_state(&self.client_id, ClientState::Active);
        let change = Change::of(&self.client_id, "enabled", "");
        change.make(&target, deadline, self.on.format, enable).await
    }

    pub(super) async fn undelete(self, deadline: Deadline) -> anyhow::Result<()> {
        let client = &self.client_id;
        let target = Target::of(self.on.database)?;
        let registry = target.registry(self.on.operator.actor());
        let undelete = async {
            let deleted = registry.deleted_client(client).await?;
            registry.undelete_client(client, &deleted).await
        };
        let consequence = format!(", disabled; `jeton client enable {client}` lets it work");
        let change = Change::of(client, "undeleted", &consequence);
        change.make(&target, deadline, self.on.format, undelete).await
    }
}

impl Ended {
    pub(super) async fn disable(self, deadline: Deadline) -> anyhow::Result<()> {
        let client = &self.client_id;
        let target = Target::of(self.ending.changing.database)?;
        if self.ending.confirmation.is_to_be_asked() {
            // A client that does not exist is told before the question.
            let _ = found(&target, deadline, client).await?;
            self.ending.confirmation.ask(&format!(
                "This disables client {client} in {}: it cannot authenticate and its tokens are \
                 inactive, until `jeton client enable {client}`.",
                target.place
            ))?;
        }
        let registry = target.registry(self.ending.changing.operator.actor());
        let disable = registry.set_client_state(client, ClientState::Disabled);
        let change = Change::of(client, "disabled", "");
        change.make(&target, deadline, self.ending.changing.format, disable).await
    }

    pub(super) async fn delete(self, deadline: Deadline) -> anyhow::Result<()> {
        let client = &self.client_id;
        let target = Target::of(self.ending.changing.database)?;
        if self.ending.confirmation.is_to_be_asked() {
            let (_, secrets) = found(&target, deadline, client).await?;
            self.ending.confirmation.ask(&format!(
                "This deletes client {client} from {} with its {} live secrets, and its tokens \
                 become inactive. For 30 days `jeton client undelete {client}` takes that back, \
                 without the tokens.",
                target.place,
                secrets.iter().filter(|secret| may_be_live(secret)).count()
            ))?;
        }
        let registry = target.registry(self.ending.changing.operator.actor());
        let delete = registry.delete_client(client);
        let change = Change::of(client, "deleted", "; its tokens are inactive");
        change.make(&target, deadline, self.ending.changing.format, delete).await
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
        target: &Target,
        deadline: Deadline,
        format: Format,
        work: impl Future<Output = Result<(), RegistryError>>,
    ) -> anyhow::Result<()> {
        let Self { client, to_be, consequence } = self;
        let undecided = undecided(client, &format!("Client {client} may or may not be {to_be}"));
        target.change(deadline, &undecided, async { Ok(work.await?) }).await?;
        if format.json {
            output::json(&json!({ "client_id": client.as_str(), "done": to_be }));
        } else {
            let place = &target.place;
            output::say(&format!("Client {client} is {to_be} in {place}{consequence}."));
        }
        Ok(())
    }
}
