//! The flags that name what to change of a client.

use std::collections::BTreeSet;

use clap::Args;

use super::{
    grantable::GrantableFields,
    members::{Members, not_there},
};
use crate::{
    cli::{
        arguments::remark_on_commas,
        client::{notes::Notes, quota::Limits},
        duration::parse_token_lifetime,
    },
    domain::{
        Audience, ClientRecord, GrantType, LabelKey, Labels, Scope, TokenLifetime, parse_name,
    },
    registry::{AudienceChange, ClientUpdate},
};

#[derive(Debug, Args)]
pub(super) struct Fields {
    /// Display name
    #[arg(long, value_parser = parse_name)]
    name: Option<String>,

    /// Scope that the client may request, in place of all others; may be repeated
    #[arg(long = "scope", value_name = "SCOPE", value_parser = Scope::parse,
          conflicts_with_all = ["add_scopes", "remove_scopes"])]
    scopes: Vec<Scope>,

    /// Scope that the client may request in addition; may be repeated
    #[arg(long = "add-scope", value_name = "SCOPE", value_parser = Scope::parse)]
    add_scopes: Vec<Scope>,

    /// Scope that the client may no longer request, also not by default; may be repeated
    #[arg(long = "remove-scope", value_name = "SCOPE", value_parser = Scope::parse)]
    remove_scopes: Vec<Scope>,

    /// Scope of tokens requested without a scope, in place of all others; may be repeated
    #[arg(long = "default-scope", value_name = "SCOPE", value_parser = Scope::parse,
          conflicts_with_all = ["add_default_scopes", "remove_default_scopes"])]
    default_scopes: Vec<Scope>,

    /// One more scope of tokens requested without a scope; may be repeated
    #[arg(long = "add-default-scope", value_name = "SCOPE", value_parser = Scope::parse)]
    add_default_scopes: Vec<Scope>,

    /// Scope that tokens requested without a scope no longer have; may be repeated
    #[arg(long = "remove-default-scope", value_name = "SCOPE", value_parser = Scope::parse)]
    remove_default_scopes: Vec<Scope>,

    /// Refuse requests that name no scope, instead of using default scopes
    #[arg(long, conflicts_with_all = ["default_scopes", "add_default_scopes",
                                      "remove_default_scopes"])]
    no_default_scope: bool,

    /// Audience (resource server) that its tokens may be for, in place of all others; may be
    /// repeated
    #[arg(long = "audience", value_name = "AUDIENCE", value_parser = Audience::parse,
          conflicts_with_all = ["add_audiences", "remove_audiences"])]
    audiences: Vec<Audience>,

    /// One more audience that its tokens may be for; may be repeated
    #[arg(long = "add-audience", value_name = "AUDIENCE", value_parser = Audience::parse)]
    add_audiences: Vec<Audience>,

    /// Audience that its tokens may no longer be for; may be repeated
    #[arg(long = "remove-audience", value_name = "AUDIENCE", value_parser = Audience::parse)]
    remove_audiences: Vec<Audience>,

    #[command(flatten)]
    of_a_token: AudiencesOfAToken,

    /// Audience that this client serves as resource server, in place of all others; may be repeated
    #[arg(long = "serves", value_name = "AUDIENCE", value_parser = Audience::parse,
          conflicts_with_all = ["add_serves", "remove_serves"])]
    serves: Vec<Audience>,

    /// One more audience that this client serves; may be repeated
    #[arg(long = "add-serves", value_name = "AUDIENCE", value_parser = Audience::parse)]
    add_serves: Vec<Audience>,

    /// Audience that this client no longer serves; may be repeated
    #[arg(long = "remove-serves", value_name = "AUDIENCE", value_parser = Audience::parse)]
    remove_serves: Vec<Audience>,

    /// Grant that the client may use; the only one is `client_credentials`
    #[arg(long = "grant", value_name = "GRANT", value_parser = GrantType::parse)]
    grants: Vec<GrantType>,

    /// Do not let the client request tokens: for resource servers that only introspect
    #[arg(long, conflicts_with = "grants")]
    no_grant: bool,

    /// Lifetime of its tokens, such as 15m, 1h or 900 (seconds), at most a day
    #[arg(long, value_name = "DURATION", value_parser = parse_token_lifetime)]
    token_lifetime: Option<TokenLifetime>,

    #[command(flatten)]
    limits: Limits,

    #[command(flatten)]
    grantable: GrantableFields,

    #[command(flatten)]
    notes: Notes,

    /// Key of a label to remove; may be repeated
    #[arg(long = "remove-label", value_name = "KEY", value_parser = LabelKey::parse)]
    remove_labels: Vec<LabelKey>,
}

/// Which audiences a token is for.
#[derive(Debug, Args)]
struct AudiencesOfAToken {
    /// Audience of tokens requested without one
    #[arg(long, value_name = "AUDIENCE", value_parser = Audience::parse)]
    default_audience: Option<Audience>,

    /// Use no default audience: with several, each request must name one
    #[arg(long, conflicts_with = "default_audience")]
    no_default_audience: bool,

    /// Issue tokens for several of its audiences at once, if a request names them
    #[arg(long)]
    several_audiences: bool,

    /// Issue each token for one audience
    #[arg(long, conflicts_with = "several_audiences")]
    one_audience: bool,
}

impl AudiencesOfAToken {
    /// What becomes of the default, which `now` is. There is none any more if it is not one of the
    /// new `audiences`.
    fn default(
        &self,
        now: Option<&Audience>,
        audiences: Option<&BTreeSet<Audience>>,
    ) -> AudienceChange {
        let is_taken = now.zip(audiences).is_some_and(|(now, audiences)| !audiences.contains(now));
        match &self.default_audience {
            Some(audience) => AudienceChange::Set(audience.clone()),
            None if self.no_default_audience || is_taken => AudienceChange::Clear,
            None => AudienceChange::Keep,
        }
    }

    /// Whether there may be several; `None` if that stays as it is.
    const fn several(&self) -> Option<bool> {
        match (self.several_audiences, self.one_audience) {
            (false, false) => None,
            (several, _) => Some(several),
        }
    }
}

impl Fields {
    /// Tells of scopes with a comma, which may be meant as several.
    pub(super) fn remark_on_commas(&self) {
        remark_on_commas("--scope", &self.scopes);
        remark_on_commas("--add-scope", &self.add_scopes);
    }

    /// The update of a client that is like this now.
    ///
    /// # Errors
    /// If something is to be removed that the client does not have.
    pub(super) fn update_of(&self, record: &ClientRecord) -> anyhow::Result<ClientUpdate> {
        let client = &record.client;
        let scopes = Members {
            flag: "--remove-scope",
            all: &self.scopes,
            add: &self.add_scopes,
            remove: &self.remove_scopes,
        };
        let audiences = Members {
            flag: "--remove-audience",
            all: &self.audiences,
            add: &self.add_audiences,
            remove: &self.remove_audiences,
        };
        let serves = Members {
            flag: "--remove-serves",
            all: &self.serves,
            add: &self.add_serves,
            remove: &self.remove_serves,
        };
        let scopes = scopes.of(&client.scopes)?;
        let audiences = audiences.of(&client.audiences)?;
        Ok(ClientUpdate {
            name: self.name.clone(),
            grants: (self.no_grant || !self.grants.is_empty())
                .then(|| self.grants.iter().copied().collect()),
            default_scopes: self.default_scopes_of(record, scopes.as_ref())?,
            scopes,
            default_audience: self
                .of_a_token
                .default(client.default_audience.as_ref(), audiences.as_ref()),
            audiences,
            several_audiences: self.of_a_token.several(),
            serves: serves.of(&client.serves)?,
            token_lifetime: self.token_lifetime,
            quota: self.limits.change(),
            labels: self.labels_of(record)?,
            owner: self.notes.owner.clone(),
            note: self.notes.note.clone(),
            grantable_scopes: self.grantable.scopes(&record.about.grantable)?,
            grantable_audiences: self.grantable.audiences(&record.about.grantable)?,
        })
    }

    /// The default scopes, without those that the same command takes from the `scopes`.
    fn default_scopes_of(
        &self,
        record: &ClientRecord,
        scopes: Option<&BTreeSet<Scope>>,
    ) -> anyhow::Result<Option<BTreeSet<Scope>>> {
        let client = &record.client;
        if self.no_default_scope {
            return Ok(Some(BTreeSet::new()));
        }
        let members = Members {
            flag: "--remove-default-scope",
            all: &self.default_scopes,
            add: &self.add_default_scopes,
            remove: &self.remove_default_scopes,
        };
        let named = members.of(&client.default_scopes)?;
        let (Some(scopes), true) = (scopes, self.default_scopes.is_empty()) else {
            return Ok(named);
        };
        let mut kept = named.unwrap_or_else(|| client.default_scopes.clone());
        kept.retain(|scope| scopes.contains(scope) || !client.scopes.contains(scope));
        Ok(Some(kept))
    }

    fn labels_of(&self, record: &ClientRecord) -> anyhow::Result<Option<Labels>> {
        if self.notes.labels.is_empty() && self.remove_labels.is_empty() {
            return Ok(None);
        }
        let mut labels = record.about.labels.clone();
        for key in &self.remove_labels {
            if !labels.remove(key) {
                let keys = record.about.labels.iter().map(|(key, _)| key.to_string());
                return Err(not_there("--remove-label", key, keys));
            }
        }
        for label in &self.notes.labels {
            labels.set(label.clone())?;
        }
        Ok(Some(labels))
    }
}
