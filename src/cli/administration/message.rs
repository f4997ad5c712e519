//! Renders values as requests to a node.

use std::{collections::BTreeSet, time::Duration};

use prost_types::{Duration as ProtoDuration, FieldMask, Timestamp as ProtoTimestamp};

use crate::{
    domain::{
        ClientId, ClientQuota, ClientState, Etag, Labels, LimitChange, QuotaChange, QuotaLimit,
        SecretId, Timestamp,
    },
    pb::v1,
    registry::{AudienceChange, AuditQuery, ClientUpdate, NewClient},
    store::{ClientFilter, SecretChange},
};

pub(super) fn duration(of: Duration) -> ProtoDuration {
    ProtoDuration { seconds: i64::try_from(of.as_secs()).unwrap_or(i64::MAX), nanos: 0 }
}

/// A client to be created.
pub(super) fn new_client(new: NewClient) -> v1::Client {
    let ClientQuota { tokens_per_second, burst, live_tokens } = new.quota;
    let no_default_scope = new.default_scopes.as_ref().is_some_and(BTreeSet::is_empty);
    v1::Client {
        client_id: new.client_id.map(|id| id.to_string()).unwrap_or_default(),
        name: new.name,
        scopes: texts(&new.scopes),
        default_scopes: texts(new.default_scopes.iter().flatten()),
        no_default_scope,
        audiences: texts(&new.audiences),
        default_audience: new.default_audience.map(|name| name.to_string()).unwrap_or_default(),
        several_audiences: new.several_audiences,
        serves: texts(&new.serves),
        grant_types: new.grants.iter().map(|grant| grant.as_str().to_owned()).collect(),
        no_grant: new.grants.is_empty(),
        token_lifetime: Some(duration(new.token_lifetime.duration())),
        labels: labels(&new.about.labels),
        owner: new.about.owner,
        note: new.about.note,
        grantable_scopes: texts(&new.about.grantable.scopes),
        grantable_audiences: texts(&new.about.grantable.audiences),
        tokens_per_second: limit(tokens_per_second),
        token_burst: limit(burst),
        live_tokens: limit(live_tokens),
        ..v1::Client::default()
    }
}

/// The fields of a secret to change, and their new values.
pub(super) fn secret_update(secret: SecretId, change: &SecretChange) -> (v1::Secret, FieldMask) {
    let (label, expiry) = (change.label.as_ref(), change.expires_at);
    let named = [label.map(|_| "label"), expiry.map(|_| "expire_time")];
    let paths = named.into_iter().flatten().map(str::to_owned).collect();
    let message = v1::Secret {
        id: secret.0.to_string(),
        label: label.cloned().unwrap_or_default(),
        expire_time: expiry.map(moment),
        ..v1::Secret::default()
    };
    (message, FieldMask { paths })
}

pub(super) fn moment(at: Timestamp) -> ProtoTimestamp {
    let micros = at.unix_micros();
    let nanos = i32::try_from(micros.rem_euclid(1_000_000) * 1_000).unwrap_or(0);
    ProtoTimestamp { seconds: micros.div_euclid(1_000_000), nanos }
}

/// The fields of a client to change, and their new values.
pub(super) fn update(
    client_id: &ClientId,
    update: &ClientUpdate,
    etag: Option<&Etag>,
) -> (v1::Client, FieldMask) {
    let mut fields = Fields {
        paths: Vec::new(),
        client: v1::Client {
            client_id: client_id.to_string(),
            etag: etag.map(ToString::to_string).unwrap_or_default(),
            ..v1::Client::default()
        },
    };
    fields.set("name", update.name.as_ref(), |client, name| client.name.clone_from(name));
    fields.set("grant_types", update.grants.as_ref(), |client, grants| {
        client.grant_types = grants.iter().map(|grant| grant.as_str().to_owned()).collect();
    });
    fields.set("scopes", update.scopes.as_ref(), |client, all| client.scopes = texts(all));
    fields.set("default_scopes", update.default_scopes.as_ref(), |client, all| {
        client.default_scopes = texts(all);
    });
    fields.set("audiences", update.audiences.as_ref(), |client, all| client.audiences = texts(all));
    let default = match &update.default_audience {
        AudienceChange::Keep => None,
        AudienceChange::Clear => Some(String::new()),
        AudienceChange::Set(name) => Some(name.to_string()),
    };
    fields.set("default_audience", default, |client, name| client.default_audience = name);
    fields.set("several_audiences", update.several_audiences, |client, several| {
        client.several_audiences = several;
    });
    fields.set("serves", update.serves.as_ref(), |client, all| client.serves = texts(all));
    fields.set("token_lifetime", update.token_lifetime, |client, lifetime| {
        client.token_lifetime = Some(duration(lifetime.duration()));
    });
    fields.set_quota(update.quota);
    fields.set("labels", update.labels.as_ref(), |client, all| client.labels = labels(all));
    fields.set("owner", update.owner.as_ref(), |client, owner| client.owner.clone_from(owner));
    fields.set("note", update.note.as_ref(), |client, note| client.note.clone_from(note));
    fields.set("grantable_scopes", update.grantable_scopes.as_ref(), |client, all| {
        client.grantable_scopes = texts(all);
    });
    fields.set("grantable_audiences", update.grantable_audiences.as_ref(), |client, all| {
        client.grantable_audiences = texts(all);
    });
    (fields.client, FieldMask { paths: fields.paths })
}

/// A client with some fields, and their paths.
struct Fields {
    client: v1::Client,
    paths: Vec<String>,
}

impl Fields {
    /// Sets a field that has a new value.
    fn set<T>(&mut self, path: &str, value: Option<T>, set: impl FnOnce(&mut v1::Client, T)) {
        if let Some(value) = value {
            self.paths.push(path.to_owned());
            set(&mut self.client, value);
        }
    }

    fn set_quota(&mut self, quota: QuotaChange) {
        let new =
            |change: LimitChange| (change != LimitChange::Keep).then(|| limit(change.limit()));
        self.set("tokens_per_second", new(quota.tokens_per_second), |client, limit| {
            client.tokens_per_second = limit;
        });
        self.set("token_burst", new(quota.burst), |client, limit| client.token_burst = limit);
        self.set("live_tokens", new(quota.live_tokens), |client, limit| client.live_tokens = limit);
    }
}

/// Which clients to list.
pub(super) fn filter(filter: &ClientFilter) -> v1::ClientFilter {
    let state = filter.state.map(|state| match state {
        ClientState::Active => v1::ClientState::Active,
        ClientState::Disabled => v1::ClientState::Disabled,
    });
    let labels = filter.labels.iter().map(ToString::to_string);
    let labels = labels.filter_map(|label| {
        let (key, value) = label.split_once('=')?;
        Some((key.to_owned(), value.to_owned()))
    });
    v1::ClientFilter {
        text: filter.text.clone().unwrap_or_default(),
        state: state.map_or(0, i32::from),
        scope: text(filter.scope.as_ref()),
        audience: text(filter.audience.as_ref()),
        serves: text(filter.serves.as_ref()),
        labels: labels.collect(),
        owner: filter.owner.clone().unwrap_or_default(),
        without_live_secret: filter.without_live_secret_at.is_some(),
    }
}

/// Which events of the audit trail are looked for.
pub(super) fn audit_filter(query: &AuditQuery) -> v1::AuditFilter {
    let AuditQuery { rows, act, field, gained, lost } = query;
    v1::AuditFilter {
        client_id: text(rows.client_id.as_ref()),
        actor: text(rows.actor.as_ref()),
        action: text(act.as_ref().or(rows.action.as_ref())),
        field: text(field.as_ref()),
        gained: text(gained.as_ref()),
        lost: text(lost.as_ref()),
        since_time: rows.since.map(moment),
        until_time: rows.until.map(moment),
    }
}

fn text<T: ToString>(value: Option<&T>) -> String {
    value.map(ToString::to_string).unwrap_or_default()
}

fn texts<'a, T: ToString + 'a>(set: impl IntoIterator<Item = &'a T>) -> Vec<String> {
    set.into_iter().map(ToString::to_string).collect()
}

fn labels(of: &Labels) -> std::collections::BTreeMap<String, String> {
    of.iter().map(|(key, value)| (key.to_string(), value.to_owned())).collect()
}

fn limit(of: Option<QuotaLimit>) -> Option<i64> {
    of.map(|limit| i64::from(limit.get()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Audience, Scope, TokenLifetime};

    #[test]
    fn an_update_names_the_fields_that_it_sets_and_no_others() {
        let client_id = ClientId::parse("orders").unwrap();
        let paths = |of: &ClientUpdate| update(&client_id, of, None).1.paths;
        assert!(paths(&ClientUpdate::default()).is_empty());
        let quota = QuotaChange { burst: LimitChange::UseDefault, ..QuotaChange::default() };
        assert_eq!(paths(&ClientUpdate { quota, ..Default::default() }), ["token_burst"]);
        let all = ClientUpdate {
            name: Some("Orders".to_owned()),
            scopes: Some(Scope::parse_set(["a", "b"]).unwrap()),
            default_scopes: Some(BTreeSet::new()),
            default_audience: AudienceChange::Set(Audience::parse("https://a.test").unwrap()),
            token_lifetime: Some(TokenLifetime::OF_ADMINISTRATORS),
            ..Default::default()
        };
        let (client, mask) = update(&client_id, &all, None);
        let named = ["name", "scopes", "default_scopes", "default_audience", "token_lifetime"];
        assert_eq!(mask.paths, named);
        assert_eq!(client.scopes, ["a", "b"]);
        assert_eq!(client.default_audience, "https://a.test");
        assert_eq!(client.token_lifetime.unwrap().seconds, 900);
        let clear = ClientUpdate { default_audience: AudienceChange::Clear, ..Default::default() };
        let (client, mask) = update(&client_id, &clear, None);
        assert_eq!(
            (mask.paths[0].as_str(), client.default_audience.as_str()),
            ("default_audience", "")
        );
    }
}
