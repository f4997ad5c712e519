//! Renders domain values as messages.

use std::{net::IpAddr, time::Duration as StdDuration};

use prost_types::{Duration, Timestamp as ProtoTimestamp};

use crate::{
    domain::{
        Advice, AuditEntry, ClientRecord, ClientState, Etag, QuotaLimit, SecretState, SecretUse,
        SourceUse, StoredSecret, Timestamp, Verdict,
    },
    pb::v1,
    registry::{SecretReport, act},
    store::{LiveSecrets, Readable, UnreadableRow},
};

/// A client, as far as its own row tells.
pub(super) fn client(record: &ClientRecord) -> v1::Client {
    let ClientRecord { client, about } = record;
    let seconds = i64::from(client.token_lifetime.seconds());
    v1::Client {
        id: client.key.0.to_string(),
        client_id: client.client_id.to_string(),
        name: client.name.clone(),
        state: client_state(client.state).into(),
        scopes: texts(&client.scopes),
        default_scopes: texts(&client.default_scopes),
        no_default_scope: client.default_scopes.is_empty() && !client.scopes.is_empty(),
        audiences: texts(&client.audiences),
        default_audience: client.default_audience.as_ref().map(text).unwrap_or_default(),
        several_audiences: client.several_audiences,
        serves: texts(&client.serves),
        grant_types: client.grants.iter().map(|grant| grant.as_str().to_owned()).collect(),
        token_lifetime: Some(Duration { seconds, nanos: 0 }),
        not_before_time: client.not_before.map(moment),
        create_time: Some(moment(client.created_at)),
        no_grant: client.grants.is_empty(),
        tokens_per_second: limit(client.quota.tokens_per_second),
        token_burst: limit(client.quota.burst),
        live_tokens: limit(client.quota.live_tokens),
        labels: about.labels.iter().map(|(key, value)| (text(key), text(value))).collect(),
        owner: about.owner.clone(),
        note: about.note.clone(),
        grantable_scopes: texts(&about.grantable.scopes),
        grantable_audiences: texts(&about.grantable.audiences),
        etag: Etag::of(record).to_string(),
        version: client.version,
        ..v1::Client::default()
    }
}

/// A limit of a quota; `None` for the default of the node.
pub(super) const fn client_state(of: ClientState) -> v1::ClientState {
    match of {
        ClientState::Active => v1::ClientState::Active,
        ClientState::Disabled => v1::ClientState::Disabled,
    }
}

pub(super) fn limit(of: Option<QuotaLimit>) -> Option<i64> {
    of.map(|limit| i64::from(limit.get()))
}

/// A client, with a summary of its secrets.
pub(super) fn client_with_secrets(
    of: &ClientRecord,
    secrets: &[Readable<StoredSecret>],
    now: Timestamp,
) -> v1::Client {
    let states = || secrets.iter().flatten().map(|secret| (secret, secret.state(now)));
    let live = || states().filter(|(secret, _)| secret.is_live(now)).map(|(secret, _)| secret);
    v1::Client {
        live_secrets: count(live().count()),
        next_secret_expire_time: live().filter_map(|secret| secret.expires_at).min().map(moment),
        endless_secrets: count(live().filter(|secret| secret.expires_at.is_none()).count()),
        expired_secrets: count(
            states().filter(|(_, state)| *state == SecretState::Expired).count(),
        ),
        ..client(of)
    }
}

/// A client, with the summary of its secrets.
pub(super) fn client_with_summary(of: &ClientRecord, secrets: LiveSecrets) -> v1::Client {
    let count = |number: u64| i32::try_from(number).unwrap_or(i32::MAX);
    v1::Client {
        live_secrets: count(secrets.count),
        next_secret_expire_time: secrets.first_end.map(moment),
        endless_secrets: count(secrets.endless),
        expired_secrets: count(secrets.expired),
        ..client(of)
    }
}

/// A secret, as it is at `now`.
pub(super) fn secret(secret: &StoredSecret, now: Timestamp) -> v1::Secret {
    let state = match secret.state(now) {
        SecretState::Live => v1::SecretState::Live,
        SecretState::Retiring => v1::SecretState::Retiring,
        SecretState::Retired => v1::SecretState::Retired,
        SecretState::Expired => v1::SecretState::Expired,
        SecretState::Forgotten => v1::SecretState::Forgotten,
        SecretState::Leaked => v1::SecretState::Leaked,
    };
    let retirement = secret.retired_at.or(secret.retiring.map(|retiring| retiring.at));
    v1::Secret {
        id: secret.id.0.to_string(),
        label: secret.label.clone(),
        state: state.into(),
        create_time: Some(moment(secret.created_at)),
        expire_time: secret.own_expiry().map(moment),
        retire_time: retirement.map(moment),
        forget_time: secret.forgotten_at.map(moment),
        leak_time: secret.leaked_at.map(moment),
        planned_retire_time: secret.retiring.map(|retiring| moment(retiring.at)),
        ..v1::Secret::default()
    }
}

/// A secret with its uses; `None` if its row cannot be read.
pub(super) fn reported(report: &SecretReport, now: Timestamp) -> Option<v1::Secret> {
    Some(v1::Secret {
        r#use: report.uses.as_ref().ok().map(uses),
        advice: report.advice.map(advice),
        ..secret(report.secret.as_ref().ok()?, now)
    })
}

fn uses(of: &SecretUse) -> v1::SecretUse {
    let source = |of: &SourceUse| v1::SourceUse {
        source: of.source.to_string(),
        first_use_time: Some(moment(of.used.first)),
        last_use_time: Some(moment(of.used.last)),
        uses: number(of.uses),
    };
    let text = |source: Option<IpAddr>| source.map(|source| source.to_string()).unwrap_or_default();
    v1::SecretUse {
        first_use_time: of.used.map(|used| moment(used.first)),
        last_use_time: of.last_used_at().map(moment),
        last_refusal_time: of.last_refused_at.map(moment),
        last_refusal_source: text(of.last_refused_source),
        last_source: text(of.last_source),
        uses: number(of.uses),
        refusals: number(of.refused),
        sources: of.sources.iter().map(source).collect(),
    }
}

fn advice(of: Advice) -> v1::RetirementAdvice {
    let verdict = match of.verdict {
        Verdict::Safe => v1::RetirementVerdict::Safe,
        Verdict::InUse => v1::RetirementVerdict::InUse,
        Verdict::NoSuccessor => v1::RetirementVerdict::NoSuccessor,
        Verdict::SuccessorUnused => v1::RetirementVerdict::SuccessorUnused,
        Verdict::TooEarly => v1::RetirementVerdict::TooEarly,
        Verdict::EvidenceGap => v1::RetirementVerdict::EvidenceGap,
    };
    v1::RetirementAdvice { verdict: verdict.into(), safe_from_time: of.safe_from.map(moment) }
}

fn number(of: u64) -> i64 {
    i64::try_from(of).unwrap_or(i64::MAX)
}

/// A row that cannot be read.
pub(super) fn unreadable(row: &UnreadableRow) -> v1::UnreadableRow {
    v1::UnreadableRow {
        id: row.id.map(|id| id.to_string()).unwrap_or_default(),
        client_id: row.client_id.clone().unwrap_or_default(),
        why: row.reason(),
        seq: row.seq.unwrap_or_default(),
    }
}

/// A row of the audit trail.
pub(super) fn event(entry: &AuditEntry) -> v1::AuditEvent {
    let id = |id: Option<uuid::Uuid>| id.map(|id| id.to_string()).unwrap_or_default();
    v1::AuditEvent {
        seq: entry.seq,
        event_time: Some(moment(entry.at)),
        actor: entry.actor_in_full().unwrap_or_default(),
        login: entry.login.clone().unwrap_or_default(),
        action: entry.action.clone(),
        client: id(entry.client),
        client_id: entry.client_id.clone().unwrap_or_default(),
        subject: id(entry.subject),
        detail: entry.detail.clone(),
        act: act(entry).to_owned(),
        hash: entry.hash.map(|hash| hash.to_string()).unwrap_or_default(),
    }
}

/// A moment, exact to the microsecond.
pub(super) fn moment(moment: Timestamp) -> ProtoTimestamp {
    let micros = moment.unix_micros().rem_euclid(1_000_000);
    let nanos = i32::try_from(micros * 1_000).unwrap_or(0);
    ProtoTimestamp { seconds: moment.unix_micros().div_euclid(1_000_000), nanos }
}

/// A duration, exact to the nanosecond.
pub(super) fn duration(of: StdDuration) -> Duration {
    let nanos = i32::try_from(of.subsec_nanos()).unwrap_or(0);
    Duration { seconds: i64::try_from(of.as_secs()).unwrap_or(i64::MAX), nanos }
}

/// A number of things, of which there are few.
pub(super) fn count(number: usize) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}

fn text<T: ToString + ?Sized>(value: &T) -> String {
    value.to_string()
}

pub(super) fn texts<'a, T: ToString + 'a>(set: impl IntoIterator<Item = &'a T>) -> Vec<String> {
    set.into_iter().map(ToString::to_string).collect()
}
