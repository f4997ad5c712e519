//! `jeton client update`: changes some fields of a client, and no others.

mod fields;
mod grantable;
mod members;

use clap::Args;
use serde_json::{Value, json};

use self::fields::Fields;
use super::{output, undecided};
use crate::{
    cli::{
        administration::{Changing, Clients, Site},
        deadline::Deadline,
        exit::Exit,
        table::Column,
    },
    domain::{ClientId, Etag, FieldChange},
    registry::{ClientUpdate, RegistryError, Updated},
};

/// How often the client is read and changed while others change it too.
const TRIES: u32 = 3;

#[derive(Debug, Args)]
pub(in crate::cli) struct Update {
    /// Client identifier
    #[arg(value_name = "CLIENT_ID", value_parser = ClientId::parse)]
    client_id: ClientId,

    #[command(flatten)]
    fields: Fields,

    /// Change nothing if the client is not as it was when `jeton client show` printed this etag
    #[arg(long, value_name = "ETAG", value_parser = Etag::parse, allow_hyphen_values = true)]
    etag: Option<Etag>,

    /// Print what would change, and change nothing
    #[arg(long)]
    dry_run: bool,

    #[command(flatten)]
    on: Changing,
}

const COLUMNS: [Column; 3] =
    [Column::whole("field"), Column::text("before"), Column::text("after")];

impl Update {
    pub(super) async fn run(self, deadline: Deadline) -> anyhow::Result<()> {
        let Self { client_id, fields, etag, dry_run, on } = self;
        fields.remark_on_commas();
        let site = Site::of(on.at)?;
        let clients = site.clients(on.operator.actor());
        let edit = Edit { clients, client_id: &client_id, fields: &fields, etag, dry_run };
        let updated = if dry_run {
            Box::pin(site.look(deadline, edit.make())).await?
        } else {
            let what = format!("Client {client_id} may or may not be changed");
            Box::pin(site.change(deadline, &undecided(&client_id, &what), edit.make())).await?
        };
        let changes = updated.changes();
        if on.format.json {
            output::json(&json!({
                "client_id": client_id.as_str(),
                "changes": changes.iter().map(change_json).collect::<Vec<_>>(),
                "etag": Etag::of(&updated.after).to_string(),
                "dry_run": dry_run,
            }));
            return Ok(());
        }
        let place = &site.place;
        if changes.is_empty() {
            output::remark(&format!("Client {client_id} in {place} is like that already."));
            return Ok(());
        }
        let client = &updated.after.client;
        if client.must_name_audience() && !updated.before.client.must_name_audience() {
            output::remark(&format!(
                "Client {client_id} has several audiences and no default, so each of its requests \
                 for a token must name one as resource."
            ));
        }
        let verb = if dry_run { "would be" } else { "is" };
        output::remark(&format!("Client {client_id} {verb} changed in {place}:"));
        let row = |change: &FieldChange| {
            [change.field.to_owned(), change.before.to_string(), change.after.to_string()]
        };
        output::table(COLUMNS, changes.iter().map(row).collect());
        Ok(())
    }
}

/// An update that depends on what the client is now.
struct Edit<'a> {
    clients: Clients<'a>,
    client_id: &'a ClientId,
    fields: &'a Fields,
    etag: Option<Etag>,
    dry_run: bool,
}

impl Edit<'_> {
    /// Reads the client and updates it, once more if somebody changed it in between. An etag that
    /// the operator gave is not replaced by a newer one.
    async fn make(&self) -> anyhow::Result<Updated> {
        let mut tried = 1;
        loop {
            let record = self.clients.record(self.client_id).await?;
            let update = self.fields.update_of(&record)?;
            if update == ClientUpdate::default() {
                return Err(Exit::Usage.error(
                    "nothing was changed: name what to change, such as --add-scope orders.read or \
                     --token-lifetime 15m",
                ));
            }
            let etag = self.etag.unwrap_or_else(|| Etag::of(&record));
            let updated = self.clients.update(record, &update, &etag, self.dry_run).await;
            match updated {
                Err(error) if is_stale(&error) && self.etag.is_none() && tried < TRIES => {
                    tried += 1;
                }
                updated => return updated,
            }
        }
    }
}

/// Whether somebody changed the client since it was read.
fn is_stale(error: &anyhow::Error) -> bool {
    matches!(error.downcast_ref(), Some(RegistryError::EtagMismatch(..)))
}

fn change_json(change: &FieldChange) -> Value {
    json!({
        "field": change.field,
        "before": change.before.to_json(),
        "after": change.after.to_json(),
    })
}
