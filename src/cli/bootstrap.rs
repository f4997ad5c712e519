//! `jeton bootstrap`: creates the first administrator, or another one if access was lost.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

use anyhow::bail;
use clap::Args;
use serde_json::json;

use super::{
    arguments::Changing, confirm::Confirmation, deadline::Deadline, exit::Exit, output,
    secret_file::SecretFile, start_log, target::Target,
};
use crate::{
    config::{Argon2, Log, NewSecrets},
    domain::{
        ADMINISTRATION, About, Audience, ClientId, ClientQuota, ClientSecret, Clock, GrantType,
        Permission, Scope, SystemClock, Timestamp, TokenLifetime,
    },
    registry::{NewClient, NewSecret, Registry},
};

#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  jeton bootstrap --client-id ops --out ops.secret")]
pub(super) struct Bootstrap {
    /// Client identifier of the administrator
    #[arg(long, value_name = "ID", value_parser = ClientId::parse)]
    client_id: ClientId,

    /// File for its secret, which must not exist yet; only its owner can read it
    #[arg(long, value_name = "FILE")]
    out: PathBuf,

    /// Create an administrator although there is one, because access was lost
    ///
    /// The audit trail and the log record it.
    #[arg(long)]
    recover: bool,

    #[command(flatten)]
    confirmation: Confirmation,

    #[command(flatten)]
    on: Changing,

    #[command(flatten)]
    new_secrets: NewSecrets,

    #[command(flatten)]
    argon2: Argon2,

    #[command(flatten)]
    log: Log,
}

/// Message if creating the administrator times out.
const UNDECIDED: &str = "The administrator may have been created, with a secret that nobody knows: \
    check with `jeton client list`, and delete it before you run the command again.";

impl Bootstrap {
    pub(super) async fn run(self, deadline: Deadline) -> anyhow::Result<()> {
        let _telemetry = start_log(self.on.database.links, &self.log, &[])?;
        let (client_id, out) = (&self.client_id, &self.out);
        let file = SecretFile::prepare(out)?;
        let expires_at = self.new_secrets.expiry(None, SystemClock.now());
        let (cost, actor) = (self.argon2.cost()?, self.on.operator.actor());
        let by = actor.clone();
        let target = Target::of(self.on.database)?;
        if self.recover {
            let consequence = format!(
                "This creates client {client_id} in {}, which may do everything, although others \
                 may do so already.",
                target.place
            );
            target.confirm(self.confirmation, &consequence)?;
        }
        let work = async {
            let registry = target.hashing_registry(actor, cost);
            if !self.recover {
                refuse_a_second(&registry).await?;
            }
            let secret = NewSecret { label: "made by jeton bootstrap".to_owned(), expires_at };
            let (client, secret) =
                registry.create_client(administrator(client_id)?, secret).await?;
            keep(&registry, client_id, &secret, file).await?;
            if self.recover {
                registry.record_recovery(client_id).await?;
                let actor = by.as_str();
                tracing::error!(%client_id, actor, "an administrator was made to recover access");
            }
            Ok((client.key.0, secret.id().0))
        };
        let (key, secret_id) = Box::pin(target.change(deadline, UNDECIDED, work)).await?;
        let made = Made { client_id, out, expires_at };
        if self.on.format.json {
            output::json(&json!({
                "id": key,
                "client_id": client_id.as_str(),
                "secret_id": secret_id,
                "secret_file": out,
                "secret_expires_at": expires_at.map(|end| end.to_string()),
                "recovered": self.recover,
            }));
        } else {
            output::say(&made.text());
        }
        Ok(())
    }
}

/// The first administrator makes all others. A second one made here would be a way around them.
async fn refuse_a_second(registry: &Registry) -> anyhow::Result<()> {
    let Some(first) = registry.administrators().await?.into_iter().next() else { return Ok(()) };
    Err(Exit::Conflict.error(format!(
        "client {first} is an administrator already and can make others; if nobody has its secret \
         any more, `jeton client add-secret {first} --out FILE` makes a new one; if that does not \
         help, --recover makes another administrator"
    )))
}

fn administrator(client_id: &ClientId) -> anyhow::Result<NewClient> {
    Ok(NewClient {
        client_id: Some(client_id.clone()),
        name: "administrator".to_owned(),
        grants: BTreeSet::from([GrantType::ClientCredentials]),
        scopes: Scope::parse_set(Permission::ALL.map(Permission::scope))?,
        default_scopes: None,
        audiences: Audience::parse_set([ADMINISTRATION])?,
        default_audience: None,
        several_audiences: false,
        serves: BTreeSet::new(),
        token_lifetime: TokenLifetime::OF_ADMINISTRATORS,
        quota: ClientQuota::default(),
        about: About::default(),
    })
}

/// Writes the secret to its file. If it cannot be written, nobody knows it, and the client is of no
/// use.
async fn keep(
    registry: &Registry,
    client_id: &ClientId,
    secret: &ClientSecret,
    file: SecretFile,
) -> anyhow::Result<()> {
    let Err(error) = file.keep(secret) else { return Ok(()) };
    registry.delete_client(client_id).await?;
    bail!("the secret cannot be written, so client {client_id} was deleted again: {error}");
}

/// What was made, for people.
struct Made<'a> {
    client_id: &'a ClientId,
    out: &'a Path,
    expires_at: Option<Timestamp>,
}

impl Made<'_> {
    fn text(&self) -> String {
        let Self { client_id, out, expires_at } = self;
        let (out, end) = (out.display(), expires_at.map_or("never".into(), |end| end.to_string()));
        format!(
            "Client {client_id} is an administrator. Its secret is in {out} and expires: {end}.\n\
             A token for the control listener, for 15 minutes:\n  \
             jeton token issue --client-id {client_id} --secret-file {out}"
        )
    }
}
