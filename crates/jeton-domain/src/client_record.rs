//! A client with everything that administrators see of it.

use std::fmt;

use serde_json::{Value, json};

use super::{Client, ClientQuota, Grantable, Labels, QuotaLimit, Timestamp};

/// What operators keep of a client. It decides nothing about its tokens, so nodes do not read it
/// for them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct About {
    /// Labels by which clients are grouped and found.
    pub labels: Labels,
    /// Who is responsible for it, as [`parse_owner`](super::parse_owner) accepts it.
    pub owner: String,
    /// Anything else, as [`parse_note`](super::parse_note) accepts it.
    pub note: String,
    /// What it may give to clients, if it is an administrator.
    pub grantable: Grantable,
}

/// A client as administrators see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientRecord {
    /// What decides about its requests and tokens.
    pub client: Client,
    /// What operators keep of it.
    pub about: About,
}

/// Value of a field of a [`ClientRecord`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FieldValue {
    /// One text.
    Text(String),
    /// One text; `None` if there is none.
    MaybeText(Option<String>),
    /// Yes or no.
    Flag(bool),
    /// A set of texts, in order.
    List(Vec<String>),
    /// Labels.
    Labels(Labels),
    /// A number; `None` for the default of the node.
    Number(Option<u32>),
    /// A moment; `None` if there is none.
    Moment(Option<Timestamp>),
}

impl FieldValue {
    /// The value for programs.
    #[must_use]
    pub fn to_json(&self) -> Value {
        match self {
            Self::Text(text) => json!(text),
            Self::MaybeText(text) => json!(text),
            Self::Flag(flag) => json!(flag),
            Self::List(members) => json!(members),
            Self::Labels(labels) => {
                let members = labels.iter().map(|(key, value)| (key.to_string(), json!(value)));
                Value::Object(members.collect())
            }
            Self::Number(number) => json!(number),
            Self::Moment(moment) => json!(moment.map(|moment| moment.to_string())),
        }
    }
}

/// For people; the members of a list with spaces between them.
impl fmt::Display for FieldValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => f.write_str(text),
            Self::MaybeText(text) => f.write_str(text.as_deref().unwrap_or("none")),
            Self::Flag(flag) => f.write_str(if *flag { "yes" } else { "no" }),
            Self::List(members) => f.write_str(&members.join(" ")),
            Self::Labels(labels) => f.write_str(&labels.texts().join(" ")),
            Self::Number(Some(number)) => write!(f, "{number}"),
            Self::Number(None) => f.write_str("default"),
            Self::Moment(Some(moment)) => write!(f, "{moment}"),
            Self::Moment(None) => f.write_str("none"),
        }
    }
}

/// A field whose value is another one after a change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldChange {
    /// Name of the field.
    pub field: &'static str,
    /// Its value before the change.
    pub before: FieldValue,
    /// Its value after it.
    pub after: FieldValue,
}

impl ClientRecord {
    /// Names of the fields, as in `--json` and in the columns of the database.
    pub const FIELDS: [&str; 22] = [
        "id",
        "client_id",
        "name",
        "state",
        "grant_types",
        "scopes",
        "default_scopes",
        "audiences",
        "default_audience",
        "several_audiences",
        "serves",
        "token_lifetime_seconds",
        "tokens_per_second",
        "token_burst",
        "live_tokens",
        "labels",
        "owner",
        "note",
        "grantable_scopes",
        "grantable_audiences",
        "not_before",
        "created_at",
    ];

    /// Values of the fields, in the order of [`FIELDS`](Self::FIELDS). The version is none of them:
    /// it grows with every change, also with one that is taken back.
    #[must_use]
    pub fn values(&self) -> [FieldValue; Self::FIELDS.len()] {
        // Named one by one, so that a new field does not compile until it has a place below.
        let Client {
            key,
            client_id,
            name,
            state,
            grants,
            scopes,
            default_scopes,
            audiences,
            default_audience,
            several_audiences,
            serves,
            token_lifetime,
            quota: ClientQuota { tokens_per_second, burst, live_tokens },
            not_before,
            created_at,
            version: _,
        } = &self.client;
        let About { labels, owner, note, grantable } = &self.about;
        let number = |limit: Option<QuotaLimit>| FieldValue::Number(limit.map(QuotaLimit::get));
        [
            FieldValue::Text(key.0.to_string()),
            FieldValue::Text(client_id.to_string()),
            FieldValue::Text(name.clone()),
            FieldValue::Text(state.as_str().to_owned()),
            FieldValue::List(grants.iter().map(|grant| grant.as_str().to_owned()).collect()),
            list(scopes),
            list(default_scopes),
            list(audiences),
            FieldValue::MaybeText(default_audience.as_ref().map(ToString::to_string)),
            FieldValue::Flag(*several_audiences),
            list(serves),
            FieldValue::Number(Some(token_lifetime.seconds())),
            number(*tokens_per_second),
            number(*burst),
            number(*live_tokens),
            FieldValue::Labels(labels.clone()),
            FieldValue::Text(owner.clone()),
            FieldValue::Text(note.clone()),
            list(&grantable.scopes),
            list(&grantable.audiences),
            FieldValue::Moment(*not_before),
            FieldValue::Moment(Some(*created_at)),
        ]
    }

    /// The fields that have another value in `after`.
    #[must_use]
    pub fn changes_to(&self, after: &Self) -> Vec<FieldChange> {
        let pairs = self.values().into_iter().zip(after.values());
        let fields = Self::FIELDS.into_iter().zip(pairs);
        fields
            .filter(|(_, (before, after))| before != after)
            .map(|(field, (before, after))| FieldChange { field, before, after })
            .collect()
    }
}

fn list<'a, T: ToString + 'a>(set: impl IntoIterator<Item = &'a T>) -> FieldValue {
    FieldValue::List(set.into_iter().map(ToString::to_string).collect())
}
