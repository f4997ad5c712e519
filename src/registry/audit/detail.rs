//! The details of audit entries, in one form whatever database wrote them. Triggers write them as
//! the columns are: on SQLite a list is a text, a moment a number of microseconds, an id
//! hexadecimal digits, and a flag 0 or 1.

use serde_json::{Value, json};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};
use uuid::Uuid;

use crate::domain::{self, AuditEntry, DetailChange, Timestamp};

/// Columns that are lists.
const LISTS: [&str; 8] = [
    "grant_types",
    "scopes",
    "default_scopes",
    "audiences",
    "serves",
    "labels",
    "grantable_scopes",
    "grantable_audiences",
];

/// Columns that are moments, besides those that end with `_at`.
const MOMENTS: [&str; 3] = ["not_before", "tag_key_since", "keep_until"];

/// Columns that are flags.
const FLAGS: [&str; 2] = ["is_foreign", "several_audiences"];

/// Columns that are ids.
const IDS: [&str; 3] = ["id", "client", "secret"];

/// Parses the detail of an entry: lists are arrays, moments are RFC 3339, ids are UUIDs, flags are
/// booleans. In an entry about a change each member is a pair, of the values before and after. Null
/// if it is not JSON.
#[must_use]
pub fn canonical_detail(entry: &AuditEntry) -> Value {
    let Ok(mut detail) = serde_json::from_str::<Value>(&entry.detail) else { return Value::Null };
    let are_pairs = has_pairs(entry);
    for (column, value) in detail.as_object_mut().into_iter().flatten() {
        match value {
            Value::Array(pair) if are_pairs => {
                for value in pair {
                    convert(column, value);
                }
            }
            value => convert(column, value),
        }
    }
    detail
}

/// What an entry says of each field, in order of their names.
#[must_use]
pub fn detail_changes(entry: &AuditEntry) -> Vec<DetailChange> {
    let Value::Object(members) = canonical_detail(entry) else { return Vec::new() };
    let are_pairs = has_pairs(entry);
    let is_deleted = entry.action.ends_with(".delete");
    let change = |(field, value): (String, Value)| match value {
        Value::Array(mut pair) if are_pairs && pair.len() == 2 => {
            let (before, after) = (Some(pair[0].take()), Some(pair[1].take()));
            DetailChange { field, before, after }
        }
        value if is_deleted => DetailChange { field, before: Some(value), after: None },
        value => DetailChange { field, before: None, after: Some(value) },
    };
    members.into_iter().map(change).collect()
}

/// The act that an entry records, such as `secret.retire`; its action if the detail does not tell.
#[must_use]
pub fn act(entry: &AuditEntry) -> &str {
    domain::act(&entry.action, &detail_changes(entry))
}

fn has_pairs(entry: &AuditEntry) -> bool {
    entry.action.ends_with(".update") || entry.action == AuditEntry::REVOKE
}

fn convert(column: &str, value: &mut Value) {
    let converted = match &*value {
        Value::String(text) if LISTS.contains(&column) => {
            Some(text.split_whitespace().map(Value::from).collect())
        }
        Value::String(text) if IDS.contains(&column) => {
            text.parse::<Uuid>().ok().map(|id| json!(id))
        }
        Value::Number(flag) if FLAGS.contains(&column) => Some((flag.as_i64() != Some(0)).into()),
        value if MOMENTS.contains(&column) || column.ends_with("_at") => moment(value),
        _ => None,
    };
    if let Some(converted) = converted {
        *value = converted;
    }
}

fn moment(value: &Value) -> Option<Value> {
    let micros = match value {
        Value::Number(micros) => micros.as_i64()?,
        Value::String(text) => {
            let nanos = OffsetDateTime::parse(text, &Rfc3339).ok()?.unix_timestamp_nanos();
            i64::try_from(nanos.div_euclid(1_000)).ok()?
        }
        _ => return None,
    };
    Some(Timestamp::from_unix_micros(micros).to_string().into())
}
