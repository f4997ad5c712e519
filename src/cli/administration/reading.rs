//! Parses the answers of a node. They become the values that a database has as well, so that no
//! command needs to know where a value came from.

use std::net::IpAddr;

use prost_types::Timestamp as ProtoTimestamp;
use uuid::Uuid;

use super::{Created, CreatedClient};
use crate::{
    domain::{
        About, Audience, Client, ClientId, ClientKey, ClientQuota, ClientRecord, ClientSecret,
        ClientState, GrantType, Grantable, Labels, QuotaLimit, Retiring, Scope, SecretHash,
        SecretId, SecretUse, SourceUse, Span, StoredSecret, Timestamp, TokenLifetime,
    },
    pb::v1,
    store::{LiveSecrets, UnreadableRow},
};

/// A value of an answer, which is `None` if this version does not understand it.
pub(super) fn understood<T>(what: &str, value: Option<T>) -> anyhow::Result<T> {
    value.ok_or_else(|| {
        anyhow::anyhow!(
            "this version does not understand the {what} in the answer of the node: use a jeton \
             of the version of the node"
        )
    })
}

/// A client.
pub(super) fn client(message: Option<&v1::Client>) -> anyhow::Result<ClientRecord> {
    understood("client", message.and_then(record))
}

fn record(message: &v1::Client) -> Option<ClientRecord> {
    let state = match v1::ClientState::try_from(message.state).ok()? {
        v1::ClientState::Active => ClientState::Active,
        v1::ClientState::Disabled => ClientState::Disabled,
        v1::ClientState::Unspecified => return None,
    };
    let limit = |of: Option<i64>| of.map(QuotaLimit::new).transpose().ok();
    let default_audience = Some(&*message.default_audience).filter(|name| !name.is_empty());
    let seconds = u32::try_from(message.token_lifetime?.seconds).ok()?;
    let grants = message.grant_types.iter().map(|name| GrantType::parse(name));
    let client = Client {
        key: ClientKey(Uuid::try_parse(&message.id).ok()?),
        client_id: ClientId::parse(&message.client_id).ok()?,
        name: message.name.clone(),
        state,
        grants: grants.collect::<Result<_, _>>().ok()?,
        scopes: Scope::parse_set(&message.scopes).ok()?,
        default_scopes: Scope::parse_set(&message.default_scopes).ok()?,
        audiences: Audience::parse_set(&message.audiences).ok()?,
        default_audience: default_audience.map(Audience::parse).transpose().ok()?,
        several_audiences: message.several_audiences,
        serves: Audience::parse_set(&message.serves).ok()?,
        token_lifetime: TokenLifetime::from_seconds(seconds).ok()?,
        quota: ClientQuota {
            tokens_per_second: limit(message.tokens_per_second)?,
            burst: limit(message.token_burst)?,
            live_tokens: limit(message.live_tokens)?,
        },
        not_before: maybe(message.not_before_time.as_ref())?,
        created_at: moment(message.create_time.as_ref()?)?,
        version: message.version,
    };
    let labels = message.labels.iter().map(|(key, value)| format!("{key}={value}"));
    let about = About {
        labels: Labels::parse(labels).ok()?,
        owner: message.owner.clone(),
        note: message.note.clone(),
        grantable: Grantable {
            scopes: Grantable::parse_scopes(&message.grantable_scopes).ok()?,
            audiences: Grantable::parse_audiences(&message.grantable_audiences).ok()?,
        },
    };
    Some(ClientRecord { client, about })
}

/// The summary of the secrets of a client.
pub(super) fn live_secrets(message: &v1::Client) -> Option<LiveSecrets> {
    Some(LiveSecrets {
        count: u64::try_from(message.live_secrets).ok()?,
        endless: u64::try_from(message.endless_secrets).ok()?,
        first_end: maybe(message.next_secret_expire_time.as_ref())?,
        expired: u64::try_from(message.expired_secrets).ok()?,
    })
}

/// A secret of a client. Its hash stays with the node.
pub(super) fn secret(message: &v1::Secret, client: ClientKey) -> Option<StoredSecret> {
    let own_expiry = maybe(message.expire_time.as_ref())?;
    let planned = maybe(message.planned_retire_time.as_ref())?;
    let retiring = planned.map(|at| Retiring { at, kept_expiry: own_expiry });
    Some(StoredSecret {
        id: SecretId(Uuid::try_parse(&message.id).ok()?),
        client,
        hash: SecretHash::from_stored(SecretHash::ERASED.to_owned()),
        label: message.label.clone(),
        created_at: moment(message.create_time.as_ref()?)?,
        expires_at: planned.or(own_expiry),
        retired_at: maybe(message.retire_time.as_ref())?.filter(|at| planned != Some(*at)),
        leaked_at: maybe(message.leak_time.as_ref())?,
        retiring,
        forgotten_at: maybe(message.forget_time.as_ref())?,
    })
}

/// The uses of a secret, as far as a node tells them.
pub(super) fn uses(message: &v1::SecretUse) -> Option<SecretUse> {
    let first = maybe(message.first_use_time.as_ref())?;
    let last = maybe(message.last_use_time.as_ref())?;
    let sources = message.sources.iter().map(source_use);
    Some(SecretUse {
        used: first.zip(last).map(|(first, last)| Span { first, last }),
        last_source: source(&message.last_source)?,
        uses: u64::try_from(message.uses).ok()?,
        refused: u64::try_from(message.refusals).ok()?,
        last_refused_at: maybe(message.last_refusal_time.as_ref())?,
        last_refused_source: source(&message.last_refusal_source)?,
        sources: sources.collect::<Option<_>>()?,
    })
}

fn source_use(message: &v1::SourceUse) -> Option<SourceUse> {
    let last = moment(message.last_use_time.as_ref()?)?;
    // A node of an earlier version does not tell the first use.
    let first = maybe(message.first_use_time.as_ref())?.unwrap_or(last);
    Some(SourceUse {
        source: message.source.parse().ok()?,
        used: Span { first, last },
        uses: u64::try_from(message.uses).ok()?,
    })
}

/// A source that may not be known; `None` only if it is not an address.
#[expect(clippy::option_option, reason = "the outer one stands for an answer of another version")]
fn source(text: &str) -> Option<Option<IpAddr>> {
    Some(text).filter(|text| !text.is_empty()).map(str::parse).transpose().ok()
}

/// A new client with its first secret.
pub(super) fn created_client(message: &v1::CreateClientResponse) -> anyhow::Result<CreatedClient> {
    let record = client(message.client.as_ref())?;
    let first = created(message.secret.as_ref(), &message.client_secret)?;
    Ok(CreatedClient { client: record.client, first })
}

/// A new secret.
pub(super) fn created(message: Option<&v1::Secret>, text: &str) -> anyhow::Result<Created> {
    let created = || {
        let secret = ClientSecret::parse(text).ok()?;
        Some(Created { secret, expires_at: expiry(message).ok()? })
    };
    understood("secret", created())
}

/// When a secret expires; `None` if it does not.
pub(super) fn expiry(message: Option<&v1::Secret>) -> anyhow::Result<Option<Timestamp>> {
    understood("secret", message.and_then(|secret| maybe(secret.expire_time.as_ref())))
}

/// A row that cannot be read, of this table.
pub(super) fn unreadable(message: &v1::UnreadableRow, table: &'static str) -> UnreadableRow {
    let (column, why) = message.why.split_once(": ").unwrap_or(("?", message.why.as_str()));
    UnreadableRow {
        table,
        client_id: Some(message.client_id.clone()).filter(|id| !id.is_empty()),
        id: Uuid::try_parse(&message.id).ok(),
        seq: None,
        column: column.to_owned().into(),
        why: why.to_owned(),
    }
}

/// A moment that may be missing; `None` only if it cannot be.
#[expect(clippy::option_option, reason = "the outer one stands for an answer of another version")]
pub(super) fn maybe(message: Option<&ProtoTimestamp>) -> Option<Option<Timestamp>> {
    message.map_or(Some(None), |message| moment(message).map(Some))
}

/// A moment; `None` if it cannot be one.
pub(super) fn moment(message: &ProtoTimestamp) -> Option<Timestamp> {
    let micros = i64::from(message.nanos) / 1_000;
    let micros = message.seconds.checked_mul(1_000_000)?.checked_add(micros)?;
    Some(Timestamp::from_unix_micros(micros))
}
