//! `jeton client add-secret` and `jeton client rotate`.

use anyhow::bail;
use clap::Args;
use serde_json::json;

use super::{create::ends, output};
use crate::{
    cli::{
        administration::{Changing, Clients, Consent, Created, SecretOrder, Site},
        arguments::Format,
        deadline::Deadline,
        duration::{ago, parse_secret_lifetime},
        secret_file::{Out, SecretFile},
    },
    config::{Argon2, NewSecrets, SecretLifetime},
    domain::{
        ClientId, ClientKey, Clock, SecretUse, StoredSecret, SystemClock, Timestamp, parse_label,
    },
    store::Retirement,
};

#[derive(Debug, Args)]
pub(in crate::cli) struct Add {
    /// Client identifier
    #[arg(value_name = "CLIENT_ID", value_parser = ClientId::parse)]
    client_id: ClientId,

    /// Label of the secret
    #[arg(long, default_value = "", value_parser = parse_label)]
    label: String,

    /// Lifetime of the secret, such as 90d, or in seconds, or `never`
    /// [default: --secret-lifetime-days]
    #[arg(long, value_name = "TIME", value_parser = parse_secret_lifetime)]
    expires_in: Option<SecretLifetime>,

    #[command(flatten)]
    out: Out,

    #[command(flatten)]
    on: Changing,

    #[command(flatten)]
    new_secrets: NewSecrets,

    #[command(flatten)]
    argon2: Argon2,
}

impl Add {
    pub(super) async fn run(self, deadline: Deadline) -> anyhow::Result<()> {
        self.make(deadline).await.map(drop)
    }

    /// Makes the secret and shows it. Returns the other secrets of the client.
    async fn make(self, deadline: Deadline) -> anyhow::Result<Rotated> {
        let (label, lifetime, policy) = (self.label, self.expires_in, self.new_secrets);
        let order = SecretOrder { label, lifetime, policy };
        let client = &self.client_id;
        let undecided = format!(
            "A secret that nobody knows may have been added: check with `jeton client show \
             {client}`, and retire it before you run the command again."
        );
        let cost = self.argon2.cost()?;
        let file = Made::prepare(&self.out)?;
        let site = Site::of(self.on.at)?;
        let work = async {
            let clients = site.hashing_clients(self.on.operator.actor(), cost);
            let new = clients.add_secret(client, order).await?;
            Made { client, new: &new }.hand_over(&clients, None, file, self.on.format).await?;
            // The secret is made and shown, so what follows is only advice.
            let others = clients.last_uses(client).await.unwrap_or_default();
            let others = others.into_iter().filter(|(other, _)| other.id != new.secret.id());
            Ok(Rotated { others: others.collect() })
        };
        site.change(deadline, &undecided, work).await
    }
}

/// Secrets of a client beside a new one, each with its uses.
struct Rotated {
    others: Vec<(StoredSecret, SecretUse)>,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct Rotate {
    #[command(flatten)]
    add: Add,
}

impl Rotate {
    pub(super) async fn run(self, deadline: Deadline) -> anyhow::Result<()> {
        let client = self.add.client_id.clone();
        let Rotated { others } = self.add.make(deadline).await?;
        let now = SystemClock.now();
        let live: Vec<_> = others.iter().filter(|(secret, _)| secret.is_live(now)).collect();
        for (secret, uses) in &live {
            let id = secret.id.0;
            let label = if secret.label.is_empty() { "" } else { " " };
            let label = format!("{label}{}", output::printable(&secret.label));
            output::remark(&format!("Before: {id}{label}, {}.", last_use(uses, now)));
        }
        let old =
            live.first().map_or_else(|| "SECRET_ID".to_owned(), |(old, _)| old.id.0.to_string());
        output::remark(&format!(
            "Next: give the new secret to the client; wait until `jeton client secrets {client}` \
             shows that it is used and the old one is not; then `jeton client retire-secret \
             {client} {old} --after 24h`."
        ));
        Ok(())
    }
}

/// The last use of a secret in words, as far as it was counted.
fn last_use(uses: &SecretUse, now: Timestamp) -> String {
    let source = uses.last_source.map(|source| format!(" from {source}")).unwrap_or_default();
    match uses.last_used_at() {
        Some(last) => format!("last used {}{source}", ago(last, now)),
        None => "no use was counted".to_owned(),
    }
}

/// A new secret, which is shown once.
pub(super) struct Made<'a> {
    pub(super) client: &'a ClientId,
    pub(super) new: &'a Created,
}

impl Made<'_> {
    /// Makes room for a secret that is to be made: in a file, or on standard output.
    pub(super) fn prepare(out: &Out) -> anyhow::Result<Option<SecretFile>> {
        let file = out.prepare()?;
        if file.is_none() {
            output::check_writable()?;
        }
        Ok(file)
    }

    /// Shows the secret, with the `key` of a new client, or writes it to the file and shows the
    /// rest. If it cannot be written, nobody knows it, so it is retired.
    pub(super) async fn hand_over(
        &self,
        clients: &Clients<'_>,
        key: Option<ClientKey>,
        file: Option<SecretFile>,
        format: Format,
    ) -> anyhow::Result<()> {
        let Self { client, new: Created { secret, expires_at } } = self;
        let path = file.as_ref().map(|file| file.path().display().to_string());
        let text = self.text(key, path.as_deref(), format);
        let written = match file {
            Some(file) => file.keep(secret),
            None => output::deliver(&format!("{text}\n")),
        };
        if let Err(error) = written {
            let id = secret.id().0;
            let retired =
                clients.retire_secret(client, secret.id(), Retirement::Retired, Consent::ALL).await;
            bail!(
                "the new secret {id} of client {client} is lost, because {} cannot be written: \
                 {error}. {}; `jeton client add-secret {client}` makes another",
                path.as_deref().unwrap_or("standard output"),
                match retired {
                    Ok(()) => "It is retired".to_owned(),
                    Err(_) => format!("Retire it: `jeton client retire-secret {client} {id}`"),
                }
            );
        }
        if path.is_some() {
            output::say(&text);
        }
        output::remark("Keep the secret now: it is not stored and cannot be shown again.");
        output::remark(&match expires_at {
            Some(end) => format!(
                "It is refused from {end} on: add another with `jeton client add-secret` before \
                 that."
            ),
            None => "It never expires: replace it now and then, as it may have leaked unnoticed."
                .to_owned(),
        });
        Ok(())
    }

    /// The new secret, or in its place the `path` of the file that it is in.
    fn text(&self, key: Option<ClientKey>, path: Option<&str>, format: Format) -> String {
        let Self { client, new: Created { secret, expires_at } } = self;
        let (name, shown) = match path {
            Some(path) => ("secret_file", path),
            None => ("client_secret", secret.expose()),
        };
        if !format.json {
            return output::properties_text(&[
                ("client_id", client.to_string()),
                (name, shown.to_owned()),
                ("secret_id", secret.id().0.to_string()),
                ("secret_expires", ends(*expires_at)),
            ]);
        }
        let mut object = json!({
            "client_id": client.as_str(),
            name: shown,
            "secret_id": secret.id().0,
            "secret_expires_at": expires_at.map(|end| end.to_string()),
        });
        if let Some(ClientKey(key)) = key {
            object["id"] = json!(key);
        }
        format!("{object:#}")
    }
}
