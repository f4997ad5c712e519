//! `jeton client create`: registers a client with a first secret.

use std::{collections::BTreeSet, time::Duration};

use clap::{Args, builder::RangedU64ValueParser};
use serde_json::json;

use super::output;
use crate::{
    cli::{deadline::Deadline, node::Operator, target::Target},
    config::{Argon2, Database},
    domain::{Audience, ClientId, Clock, GrantType, Malformed, Scope, SystemClock, TokenLifetime},
    registry::{NewClient, NewSecret},
};

#[derive(Debug, Args)]
pub(in crate::cli) struct Create {
    /// Client identifier [default: a random one]
    #[arg(long, value_name = "ID", value_parser = ClientId::parse)]
    client_id: Option<ClientId>,

    /// Display name
    #[arg(long, default_value = "")]
    name: String,

    /// Scope that the client may request; may be repeated
    #[arg(long = "scope", value_name = "SCOPE", value_parser = Scope::parse)]
    scopes: Vec<Scope>,

    /// Scope of tokens requested without a scope; may be repeated [default: all its scopes]
    #[arg(long = "default-scope", value_name = "SCOPE", value_parser = Scope::parse)]
    default_scopes: Vec<Scope>,

    /// Refuse requests that name no scope, instead of using default scopes
    #[arg(long, conflicts_with = "default_scopes")]
    no_default_scope: bool,

    /// Audience (resource server) that its tokens may be for; may be repeated
    #[arg(long = "audience", value_name = "AUDIENCE", value_parser = Audience::parse)]
    audiences: Vec<Audience>,

    /// Audience that this client serves as resource server, so that it may introspect tokens for
    /// it; may be repeated
    #[arg(long = "serves", value_name = "AUDIENCE", value_parser = Audience::parse)]
    serves: Vec<Audience>,

    /// Do not let the client request tokens: for resource servers that only introspect
    #[arg(long)]
    no_grant: bool,

    /// Lifetime of its tokens, in seconds, at most 86400 (a day)
    #[arg(long, value_name = "S", default_value = "3600", value_parser = lifetime)]
    token_lifetime_seconds: TokenLifetime,

    /// Label of its first secret
    #[arg(long, value_name = "LABEL", default_value = "")]
    secret_label: String,

    /// Lifetime of its first secret, in seconds [default: no limit]
    #[arg(long, value_name = "S", value_parser = secret_lifetime())]
    secret_expires_in: Option<u64>,

    /// Print JSON
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    operator: Operator,

    #[command(flatten)]
    database: Database,

    #[command(flatten)]
    argon2: Argon2,
}

fn lifetime(text: &str) -> Result<TokenLifetime, Malformed> {
    TokenLifetime::from_seconds(text.parse().unwrap_or(0))
}

/// Message if creating a client times out.
const UNDECIDED: &str = "The client may have been registered, with a secret that nobody knows: \
    check with `jeton client list`, and delete it before you run the command again.";

impl Create {
    pub(super) async fn run(self, deadline: Deadline) -> anyhow::Result<()> {
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
        let cost = self.argon2.cost()?;
        let target = Target::of(self.database)?;
        let work = async {
            let registry = target.hashing_registry(self.operator.actor(), cost);
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

/// Parser of the lifetime of a secret: 1 second to 100 years. A time past the year 9999 cannot be
/// stored.
pub(super) fn secret_lifetime() -> RangedU64ValueParser {
    clap::value_parser!(u64).range(1..=3_155_760_000)
}

/// The time that is this number of `seconds` from now; `None` for no expiry.
pub(super) fn expiry(seconds: Option<u64>) -> Option<crate::domain::Timestamp> {
    seconds.map(|seconds| SystemClock.now().plus(Duration::from_secs(seconds)))
}
