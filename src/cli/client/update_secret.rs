//! `jeton client update-secret`: its label, and an earlier expiry.

use std::time::Duration;

use clap::Args;
use serde_json::json;
use uuid::Uuid;

use super::{create::ends, output, retire::secret_id, undecided};
use crate::{
    cli::{
        administration::{Changing, Site},
        deadline::Deadline,
        duration::parse_duration,
    },
    domain::{ClientId, Clock, SecretId, SystemClock, parse_label},
    store::SecretChange,
};

#[derive(Debug, Args)]
#[command(override_usage = "jeton client update-secret [OPTIONS] <CLIENT_ID> <SECRET_ID>")]
pub(in crate::cli) struct UpdateSecret {
    /// Client identifier
    #[arg(value_name = "CLIENT_ID", value_parser = ClientId::parse)]
    client_id: ClientId,

    /// Id of the secret, as listed by `jeton client secrets`
    #[arg(value_name = "SECRET_ID", value_parser = secret_id)]
    secret_id: Uuid,

    #[command(flatten)]
    fields: Fields,

    #[command(flatten)]
    on: Changing,
}

/// What is changed.
#[derive(Debug, Args)]
#[group(required = true, multiple = true)]
struct Fields {
    /// Label of the secret
    #[arg(long, value_parser = parse_label)]
    label: Option<String>,

    /// Let it expire after this time, such as 30d; earlier than it would otherwise
    #[arg(long, value_name = "TIME", value_parser = parse_expiry)]
    expires_in: Option<Duration>,
}

impl UpdateSecret {
    pub(super) async fn run(self, deadline: Deadline) -> anyhow::Result<()> {
        let (client, id) = (&self.client_id, self.secret_id);
        let Fields { label, expires_in } = self.fields;
        let now = SystemClock.now();
        let change = SecretChange { label, expires_at: expires_in.map(|time| now.plus(time)) };
        let undecided = undecided(client, &format!("Secret {id} may or may not be changed"));
        let site = Site::of(self.on.at)?;
        let clients = site.clients(self.on.operator.actor());
        let update = clients.update_secret(client, SecretId(id), &change);
        let updated = site.change(deadline, &undecided, update).await?;
        let end = updated.own_expiry();
        if self.on.format.json {
            output::json(&json!({
                "client_id": client.as_str(),
                "secret_id": id,
                "done": "updated",
                "label": updated.label,
                "expires_at": end.map(|end| end.to_string()),
            }));
        } else {
            let label = if updated.label.is_empty() { "" } else { " " };
            let label = format!("{label}{}", output::printable(&updated.label));
            let place = &site.place;
            output::say(&format!(
                "Secret {id}{label} is updated in {place}; expires: {}.",
                ends(end)
            ));
        }
        Ok(())
    }
}

fn parse_expiry(text: &str) -> Result<Duration, String> {
    let time = parse_duration(text).map_err(|malformed| malformed.to_string())?;
    if time.is_zero() {
        return Err("to end a secret now, use `jeton client retire-secret`".to_owned());
    }
    Ok(time)
}
