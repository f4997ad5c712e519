//! The fields of a client in a file.

use std::collections::BTreeSet;

use uuid::Uuid;

use super::table::Table;
use crate::{
    cli::duration::parse_token_lifetime,
    domain::{
        About, Audience, AudiencePattern, Client, ClientId, ClientKey, ClientQuota, ClientRecord,
        ClientState, GrantType, Grantable, Label, Labels, Malformed, QuotaLimit, SET_LABEL, Scope,
        ScopePattern, Timestamp, TokenLifetime, is_administration_alone, parse_name, parse_note,
        parse_owner,
    },
};

/// Keys of a client and of the defaults.
const KEYS: [&str; 18] = [
    "name",
    "grants",
    "scopes",
    "default_scopes",
    "audiences",
    "default_audience",
    "several_audiences",
    "serves",
    "token_lifetime",
    "tokens_per_second",
    "token_burst",
    "live_tokens",
    "labels",
    "owner",
    "note",
    "grantable_scopes",
    "grantable_audiences",
    "adopt",
];

/// Keys that people may expect, and what to do instead.
const HINTS: [(&str, &str); 5] = [
    ("secret", "make the secret with `jeton client add-secret`, which shows it once"),
    ("secrets", "make the secret with `jeton client add-secret`, which shows it once"),
    ("client_secret", "make the secret with `jeton client add-secret`, which shows it once"),
    ("state", "use `jeton client disable` and `jeton client enable`"),
    ("client_id", "the client id is the key of the table, as in [client.orders]"),
];

/// What a table says of a client; `None` where it says nothing.
#[derive(Debug, Clone, Default)]
pub(in crate::cli) struct Fields {
    name: Option<String>,
    grants: Option<BTreeSet<GrantType>>,
    scopes: Option<BTreeSet<Scope>>,
    default_scopes: Option<BTreeSet<Scope>>,
    audiences: Option<BTreeSet<Audience>>,
    default_audience: Option<Audience>,
    several_audiences: Option<bool>,
    serves: Option<BTreeSet<Audience>>,
    token_lifetime: Option<TokenLifetime>,
    quota: ClientQuota,
    labels: Vec<Label>,
    owner: Option<String>,
    note: Option<String>,
    grantable_scopes: Option<BTreeSet<ScopePattern>>,
    grantable_audiences: Option<BTreeSet<AudiencePattern>>,
    adopt: Option<bool>,
}

impl Fields {
    pub(in crate::cli) fn read(table: &Table<'_>) -> anyhow::Result<Self> {
        table.check_keys(&KEYS, &HINTS)?;
        Ok(Self {
            name: table.text("name", parse_name)?,
            grants: table.list("grants", GrantType::parse)?,
            scopes: table.list("scopes", Scope::parse)?,
            default_scopes: table.list("default_scopes", Scope::parse)?,
            audiences: table.list("audiences", Audience::parse)?,
            default_audience: table.text("default_audience", Audience::parse)?,
            several_audiences: table.flag("several_audiences")?,
            serves: table.list("serves", Audience::parse)?,
            token_lifetime: table.number_or_text("token_lifetime", parse_token_lifetime)?,
            quota: ClientQuota {
                tokens_per_second: table.number("tokens_per_second", QuotaLimit::new)?,
                burst: table.number("token_burst", QuotaLimit::new)?,
                live_tokens: table.number("live_tokens", QuotaLimit::new)?,
            },
            labels: table.pairs("labels", label)?.unwrap_or_default(),
            owner: table.text("owner", parse_owner)?,
            note: table.text("note", parse_note)?,
            grantable_scopes: table.list("grantable_scopes", ScopePattern::parse)?,
            grantable_audiences: table.list("grantable_audiences", AudiencePattern::parse)?,
            adopt: table.flag("adopt")?,
        })
    }

    /// Whether a client of another set, or of none, may be taken over.
    pub(in crate::cli) fn adopts(&self) -> bool {
        self.adopt.unwrap_or(false)
    }

    /// These fields, and those of `defaults` where they say nothing. Labels are added to those of
    /// the defaults, one by one.
    pub(in crate::cli) fn over(self, defaults: &Self) -> Self {
        let defaults = defaults.clone();
        let labels = defaults.labels.into_iter().chain(self.labels).collect();
        let (quota, below) = (self.quota, defaults.quota);
        Self {
            name: self.name.or(defaults.name),
            grants: self.grants.or(defaults.grants),
            scopes: self.scopes.or(defaults.scopes),
            default_scopes: self.default_scopes.or(defaults.default_scopes),
            audiences: self.audiences.or(defaults.audiences),
            default_audience: self.default_audience.or(defaults.default_audience),
            several_audiences: self.several_audiences.or(defaults.several_audiences),
            serves: self.serves.or(defaults.serves),
            token_lifetime: self.token_lifetime.or(defaults.token_lifetime),
            quota: ClientQuota {
                tokens_per_second: quota.tokens_per_second.or(below.tokens_per_second),
                burst: quota.burst.or(below.burst),
                live_tokens: quota.live_tokens.or(below.live_tokens),
            },
            labels,
            owner: self.owner.or(defaults.owner),
            note: self.note.or(defaults.note),
            grantable_scopes: self.grantable_scopes.or(defaults.grantable_scopes),
            grantable_audiences: self.grantable_audiences.or(defaults.grantable_audiences),
            adopt: self.adopt.or(defaults.adopt),
        }
    }

    /// The client that is declared, with the defaults of the product where nothing is said. Its id,
    /// state and times mean nothing.
    pub(in crate::cli) fn record(
        self,
        client_id: ClientId,
        set: Option<&str>,
    ) -> Result<ClientRecord, Malformed> {
        let mut labels = Labels::default();
        for label in self.labels {
            labels.set(label)?;
        }
        if let Some(set) = set {
            labels.set(Label::parse(&format!("{SET_LABEL}={set}"))?)?;
        }
        let scopes = self.scopes.unwrap_or_default();
        let audiences = self.audiences.unwrap_or_default();
        let lifetime = default_lifetime(&audiences);
        let client = Client {
            key: ClientKey(Uuid::nil()),
            client_id,
            name: self.name.unwrap_or_default(),
            state: ClientState::Active,
            grants: self.grants.unwrap_or_else(default_grants),
            default_scopes: self.default_scopes.unwrap_or_else(|| scopes.clone()),
            scopes,
            token_lifetime: self.token_lifetime.unwrap_or(lifetime),
            audiences,
            default_audience: self.default_audience,
            several_audiences: self.several_audiences.unwrap_or(false),
            serves: self.serves.unwrap_or_default(),
            quota: self.quota,
            not_before: None,
            created_at: Timestamp::from_unix_micros(0),
            version: 1,
        };
        let about = About {
            labels,
            owner: self.owner.unwrap_or_default(),
            note: self.note.unwrap_or_default(),
            grantable: Grantable {
                scopes: self.grantable_scopes.unwrap_or_default(),
                audiences: self.grantable_audiences.unwrap_or_default(),
            },
        };
        Ok(ClientRecord { client, about })
    }
}

pub(super) fn default_grants() -> BTreeSet<GrantType> {
    BTreeSet::from([GrantType::ClientCredentials])
}

/// Lifetime of tokens where none is said.
pub(super) fn default_lifetime(audiences: &BTreeSet<Audience>) -> TokenLifetime {
    if is_administration_alone(audiences) {
        TokenLifetime::OF_ADMINISTRATORS
    } else {
        TokenLifetime::DEFAULT
    }
}

fn label(key: &str, value: &str) -> Result<Label, Malformed> {
    // A key with an equals sign would be another label.
    if key.contains('=') || key == SET_LABEL {
        return Err(Malformed(
            "this key is not one of a label: it has no equals sign, and `set` at the top of the \
             file says what jeton/set is",
        ));
    }
    Label::parse(&format!("{key}={value}"))
}
