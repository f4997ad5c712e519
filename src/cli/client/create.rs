//! `jeton client create`

use std::{collections::BTreeSet, path::PathBuf, time::Duration};

use clap::{Args, builder::RangedU64ValueParser};
use serde_json::json;

use super::output;
use crate::{
    cli::{
        deadline::Deadline,
        node::{Database, Operator},
        target::Target,
    },
    domain::{Audience, ClientId, Clock, GrantType, Malformed, Scope, SystemClock, TokenLifetime},
    registry::{NewClient, NewSecret},
};

#[derive(Debug, Args)]
pub(in crate::cli) struct Create {
    /// The public name; a random one if none is given
    #[arg(long, value_name = "ID", value_parser = ClientId::parse)]
    client_id: Option<ClientId>,

    /// What people call it
    #[arg(long, default_value = "")]
    name: String,

    /// A scope that its tokens may carry; may be repeated
    #[arg(long = "scope", value_name = "SCOPE", value_parser = Scope::parse)]
    scopes: Vec<Scope>,

    /// A scope of tokens for which none are asked; may be repeated  [default: all its scopes]
    #[arg(long = "default-scope", value_name = "SCOPE", value_parser = Scope::parse)]
    default_scopes: Vec<Scope>,

    /// A client that asks for no scope gets an error instead of default scopes
    #[arg(long, conflicts_with = "default_scopes")]
    no_default_scope: bool,

    /// A resource server that its tokens may be for; may be repeated
    #[arg(long = "audience", value_name = "AUDIENCE", value_parser = Audience::parse)]
    audiences: Vec<Audience>,

    /// An audience that this client is the resource server of: it may introspect its tokens; may
    /// be repeated
    #[arg(long = "serves", value_name = "AUDIENCE", value_parser = Audience::parse)]
    serves: Vec<Audience>,

    /// The client may not ask for tokens: for resource servers that only introspect
    #[arg(long)]
    no_grant: bool,

    /// How long its tokens live, in seconds, at most a day
    #[arg(long, value_name = "S", default_value = "3600", value_parser = lifetime)]
    token_lifetime_seconds: TokenLifetime,

    /// What people call its first secret
    #[arg(long, value_name = "LABEL", default_value = "")]
    secret_label: String,

    /// After how many seconds its first secret is refused  [default: never]
    #[arg(long, value_name = "S", value_parser = secret_lifetime())]
    secret_expires_in: Option<u64>,

    /// Print JSON
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    operator: Operator,

    #[command(flatten)]
    database: Database,
}

fn lifetime(text: &str) -> Result<TokenLifetime, Malformed> {
    TokenLifetime::from_seconds(text.parse().unwrap_or(0))
}

/// What is said if it is not known whether the client was made.
const UNDECIDED: &str = "The client may have been registered, and nobody knows its secret: look \
    with `jeton client list`, and delete it there before you give the command again.";

impl Create {
    pub(super) async fn run(
        self,
        file: Option<&PathBuf>,
        deadline: Deadline,
    ) -> anyhow::Result<()> {
        let scopes = Scope::parse_set(self.scopes.iter().map(Scope::as_str))?;
        let default_scopes = match (self.no_default_scope, self.default_scopes.is_empty()) {
            (true, _) => Some(BTreeSet::new()),
            (false, true) => None,
            (false, false) => Some(self.default_scopes.into_iter().collect()),
        };
        let grants = if self.no_grant { None } else { Some(GrantType::ClientCredentials) };
        let new = NewClient {
            client_id: self.client_id,
            name: self.name,
            grants: grants.into_iter().collect(),
            scopes,
            default_scopes,
            audiences: Audience::parse_set(self.audiences.iter().map(Audience::as_str))?,
            serves: Audience::parse_set(self.serves.iter().map(Audience::as_str))?,
            token_lifetime: self.token_lifetime_seconds,
        };
        let secret =
            NewSecret { label: self.secret_label, expires_at: expiry(self.secret_expires_in) };
        let target = Target::of(self.database, file)?;
        let work = async {
            let registry = target.registry(self.operator.actor());
            Ok(registry.create_client(new, secret).await?)
        };
        let (client, secret) = target.change(deadline, UNDECIDED, work).await?;
        if self.json {
            output::json(&json!({
                "client_id": client.client_id.as_str(),
                "client_secret": secret.expose(),
                "secret_id": secret.id().0,
                "id": client.key.0,
            }));
        } else {
            output::properties(&[
                ("client_id", client.client_id.to_string()),
                ("client_secret", secret.expose().to_owned()),
                ("secret_id", secret.id().0.to_string()),
            ]);
            output::remark("Keep the secret now: it is not stored and cannot be shown again.");
        }
        Ok(())
    }
}

/// At most a hundred years: a moment past the year 9999 cannot be stored.
pub(super) fn secret_lifetime() -> RangedU64ValueParser {
    clap::value_parser!(u64).range(1..=3_155_760_000)
}

/// So many seconds from now.
pub(super) fn expiry(seconds: Option<u64>) -> Option<crate::domain::Timestamp> {
    seconds.map(|seconds| SystemClock.now().plus(Duration::from_secs(seconds)))
}
