//! `jeton client create`: registers a client with a first secret.

use std::collections::BTreeSet;

use clap::Args;

use super::{notes::Notes, output, quota::Limits, secrets::Made};
use crate::{
    cli::{
        administration::{Changing, CreatedClient, SecretOrder, Site},
        arguments::remark_on_commas,
        deadline::Deadline,
        duration::{parse_secret_lifetime, parse_token_lifetime},
        secret_file::Out,
    },
    config::{Argon2, NewSecrets, SecretLifetime},
    domain::{
        About, Audience, AudiencePattern, ClientId, GrantType, Grantable, Scope, ScopePattern,
        Timestamp, TokenLifetime, parse_label, parse_name,
    },
    registry::NewClient,
};

#[derive(Debug, Args)]
pub(in crate::cli) struct Create {
    /// Client identifier [default: a random one]
    #[arg(long, value_name = "ID", value_parser = ClientId::parse)]
    client_id: Option<ClientId>,

    /// Display name
    #[arg(long, default_value = "", value_parser = parse_name)]
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

    /// Audience of tokens requested without one [default: the only audience; with several, each
    /// request must name one]
    #[arg(long, value_name = "AUDIENCE", value_parser = Audience::parse)]
    default_audience: Option<Audience>,

    /// Issue tokens for several of its audiences at once, if a request names them
    #[arg(long)]
    several_audiences: bool,

    /// Audience that this client serves as resource server, so that it may introspect tokens for
    /// it; may be repeated
    #[arg(long = "serves", value_name = "AUDIENCE", value_parser = Audience::parse)]
    serves: Vec<Audience>,

    /// Do not let the client request tokens: for resource servers that only introspect
    #[arg(long)]
    no_grant: bool,

    /// Lifetime of its tokens, in seconds or such as 15m, at most a day
    #[arg(long, visible_alias = "token-lifetime", value_name = "S", default_value = "3600",
          value_parser = parse_token_lifetime)]
    token_lifetime_seconds: TokenLifetime,

    /// Scope that this administrator may give to clients over gRPC, or `orders.*` for all that
    /// begin with `orders.`; may be repeated [default: all but those that begin with jeton:]
    #[arg(long = "grantable-scope", value_name = "PATTERN", value_parser = ScopePattern::parse)]
    grantable_scopes: Vec<ScopePattern>,

    /// Audience that this administrator may give to clients, or `https://a.example.com/*` for all
    /// below; may be repeated [default: all]
    #[arg(long = "grantable-audience", value_name = "PATTERN",
          value_parser = AudiencePattern::parse)]
    grantable_audiences: Vec<AudiencePattern>,

    #[command(flatten)]
    limits: Limits,

    #[command(flatten)]
    notes: Notes,

    /// Label of its first secret
    #[arg(long, value_name = "LABEL", default_value = "", value_parser = parse_label)]
    secret_label: String,

    /// Lifetime of its first secret, such as 90d, or in seconds, or `never`
    /// [default: --secret-lifetime-days]
    #[arg(long, value_name = "TIME", value_parser = parse_secret_lifetime)]
    secret_expires_in: Option<SecretLifetime>,

    #[command(flatten)]
    out: Out,

    #[command(flatten)]
    on: Changing,

    #[command(flatten)]
    new_secrets: NewSecrets,

    #[command(flatten)]
    argon2: Argon2,
}

/// Message if creating a client times out.
const UNDECIDED: &str = "The client may have been registered, with a secret that nobody knows: \
    check with `jeton client list`, and delete it before you run the command again.";

impl Create {
    pub(super) async fn run(self, deadline: Deadline) -> anyhow::Result<()> {
        remark_on_commas("--scope", &self.scopes);
        remark_on_commas("--audience", &self.audiences);
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
            default_audience: self.default_audience,
            several_audiences: self.several_audiences,
            serves: Audience::parse_set(self.serves.iter().map(Audience::as_str))?,
            token_lifetime: self.token_lifetime_seconds,
            quota: self.limits.of_new_client(),
            about: About {
                grantable: Grantable {
                    scopes: self.grantable_scopes.into_iter().collect(),
                    audiences: self.grantable_audiences.into_iter().collect(),
                },
                ..self.notes.of_new_client()?
            },
        };
        let secret = SecretOrder {
            label: self.secret_label,
            lifetime: self.secret_expires_in,
            policy: self.new_secrets,
        };
        let cost = self.argon2.cost()?;
        let file = Made::prepare(&self.out)?;
        let site = Site::of(self.on.at)?;
        let work = async {
            let clients = site.hashing_clients(self.on.operator.actor(), cost);
            let CreatedClient { client, first } = clients.create(new, secret).await?;
            let made = Made { client: &client.client_id, new: &first };
            made.hand_over(&clients, Some(client.key), file, self.on.format).await?;
            if client.must_name_audience() {
                output::remark(&format!(
                    "Client {} has several audiences and no default, so each of its requests for \
                     a token must name one as resource.",
                    client.client_id
                ));
            }
            Ok(())
        };
        Box::pin(site.change(deadline, UNDECIDED, work)).await
    }
}

/// When a secret ends, for people.
pub(super) fn ends(expires_at: Option<Timestamp>) -> String {
    expires_at.map_or_else(|| "never".to_owned(), |end| end.to_string())
}
