//! Rows of the table `hydra_client` of Ory Hydra: JSON lines, or an array.

use serde_json::{Map, Value};

use super::file::{
    Candidate, Checked, Row, Skip, audiences, blank, candidate, lifetime, of_field, scopes, secret,
};
use crate::{
    domain::{Label, Labels, SecretHash, parse_name, parse_owner},
    registry::{ImportedProof, ImportedSecret, MAX_IMPORTED_SECRETS},
};

/// Methods of authentication that present a client secret.
const METHODS: [&str; 3] = ["", "client_secret_basic", "client_secret_post"];

pub(super) fn read(text: &str) -> Result<Vec<Row>, String> {
    let parsed = |text: &str| serde_json::from_str::<Value>(text);
    if text.trim_start().starts_with('[') {
        let rows = parsed(text).map_err(|error| format!("which is not JSON: {error}"))?;
        let rows = rows.as_array().map(Vec::as_slice).unwrap_or_default();
        return Ok(rows
            .iter()
            .enumerate()
            .map(|(at, row)| read_row(format!("[{at}]"), row))
            .collect());
    }
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    let read = |(at, line): (usize, &str)| {
        let row = parsed(line).map_err(|error| {
            format!("line {}, column {}: this is not JSON", at + 1, error.column())
        })?;
        Ok(read_row(format!("line {}", at + 1), &row))
    };
    lines.map(read).collect()
}

fn read_row(place: String, row: &Value) -> Row {
    let empty = Map::new();
    let row = row.as_object().unwrap_or(&empty);
    let client_id = text(row, "client_id");
    let client_id = if client_id.is_empty() { text(row, "id") } else { client_id };
    Row { place, client_id: client_id.to_owned(), read: read_client(client_id, row) }
}

fn read_client(client_id: &str, row: &Map<String, Value>) -> Checked<Candidate> {
    let mut record = blank(client_id)?;
    let method = text(row, "token_endpoint_auth_method");
    if !METHODS.contains(&method) {
        return Err(Skip(format!("it authenticates by {method}, and here by a secret only")));
    }
    if !list(row, "grant_types").iter().any(|grant| grant == "client_credentials") {
        return Err(Skip("it may not use the grant client_credentials, the only one here".into()));
    }
    let mut remarks = Vec::new();
    let client = &mut record.client;
    client.name = parse_name(text(row, "client_name"))?;
    let why = "because a wildcard is no scope here: register each scope";
    let names = text(row, "scope").split_whitespace();
    client.scopes = scopes(names, why, |name| name.contains('*'), &mut remarks)?;
    client.default_scopes.clone_from(&client.scopes);
    client.audiences = audiences("audience", list(row, "audience").iter().map(String::as_str))?;
    let seconds = seconds(row.get("client_credentials_grant_access_token_lifespan"))?;
    if let Some(seconds) = seconds {
        client.token_lifetime = lifetime(seconds, &mut remarks)?;
    }
    record.about.owner = parse_owner(text(row, "owner"))?;
    record.about.labels = labels(row.get("metadata"), &mut remarks);
    let secrets = secrets(row, &mut remarks)?;
    candidate(record, secrets, remarks)
}

/// The current secret and the newest of those that were rotated.
fn secrets(row: &Map<String, Value>, remarks: &mut Vec<String>) -> Checked<Vec<ImportedSecret>> {
    let hashed = |label: &str, field: &str, hash: &str| -> Checked<ImportedSecret> {
        let hash = of_field(field, SecretHash::parse_foreign(hash))?;
        Ok(secret(label, ImportedProof::Hash(hash)))
    };
    let mut secrets = Vec::new();
    let current = text(row, "client_secret");
    if !current.is_empty() {
        secrets.push(hashed("imported", "client_secret", current)?);
    }
    let earlier = list(row, "rotated_secrets");
    for (number, hash) in earlier.iter().take(MAX_IMPORTED_SECRETS - 1).enumerate() {
        let label = format!("imported, old {}", number + 1);
        secrets.push(hashed(&label, "rotated_secrets", hash)?);
    }
    if earlier.len() >= MAX_IMPORTED_SECRETS {
        remarks.push("only its two newest earlier secrets are taken".to_owned());
    }
    Ok(secrets)
}

fn labels(metadata: Option<&Value>, remarks: &mut Vec<String>) -> Labels {
    // A column of type text holds JSON as a text.
    let parsed = metadata.and_then(Value::as_str).and_then(|text| serde_json::from_str(text).ok());
    let metadata = parsed.as_ref().or(metadata);
    let mut labels = Labels::default();
    for (key, value) in metadata.and_then(Value::as_object).into_iter().flatten() {
        let label = value.as_str().filter(|_| !key.contains('=') && !key.starts_with("jeton/"));
        let label = label.and_then(|value| Label::parse(&format!("{key}={value}")).ok());
        if label.is_none_or(|label| labels.set(label).is_err()) {
            remarks.push(format!("metadata {key} is no label here and is left out"));
        }
    }
    labels
}

fn text<'a>(row: &'a Map<String, Value>, field: &str) -> &'a str {
    row.get(field).and_then(Value::as_str).unwrap_or_default()
}

/// A list: an array, JSON in a text, or a text with `|` between its members, as Hydra 1 stores it.
fn list(row: &Map<String, Value>, field: &str) -> Vec<String> {
    let members = |value: &Value| {
        let members = value.as_array().into_iter().flatten();
        members.filter_map(Value::as_str).map(str::to_owned).collect::<Vec<_>>()
    };
    match row.get(field) {
        Some(Value::String(text)) if text.trim_start().starts_with('[') => {
            serde_json::from_str(text).map(|value| members(&value)).unwrap_or_default()
        }
        Some(Value::String(text)) => {
            text.split('|').filter(|member| !member.is_empty()).map(str::to_owned).collect()
        }
        Some(value) => members(value),
        None => Vec::new(),
    }
}

/// A duration in nanoseconds, or as Go writes it: `1h15m0s`. `None` for the default.
fn seconds(value: Option<&Value>) -> Checked<Option<u64>> {
    let seconds = match value {
        None | Some(Value::Null) => Some(0),
        Some(Value::Number(nanos)) => nanos.as_u64().map(|nanos| nanos / 1_000_000_000),
        Some(Value::String(text)) if text.is_empty() => Some(0),
        Some(Value::String(text)) => go_duration(text),
        Some(_) => None,
    };
    let unread = || {
        Skip("client_credentials_grant_access_token_lifespan: this is not a duration".to_owned())
    };
    Ok(Some(seconds.ok_or_else(unread)?).filter(|seconds| *seconds > 0))
}

fn go_duration(text: &str) -> Option<u64> {
    let (mut seconds, mut rest) = (0_u64, text);
    while !rest.is_empty() {
        let unit = rest.find(|c: char| !c.is_ascii_digit())?;
        let factor = match rest.as_bytes()[unit] {
            b'h' => 3_600,
            b'm' => 60,
            b's' => 1,
            _ => return None,
        };
        let part = rest[..unit].parse::<u64>().ok()?.checked_mul(factor)?;
        seconds = seconds.checked_add(part)?;
        rest = &rest[unit + 1..];
    }
    Some(seconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_rows_and_as_answers_have_them() {
        let of = |json: &str| seconds(Some(&serde_json::from_str(json).unwrap()));
        assert_eq!(of("900000000000"), Ok(Some(900)));
        assert_eq!(of("\"1h15m0s\""), Ok(Some(4_500)));
        assert_eq!([of("null"), of("0"), of("\"\"")], [Ok(None), Ok(None), Ok(None)]);
        for text in ["-1", "\"15\"", "\"m\"", "\"1d\"", "{}", "\"99999999999999999999s\""] {
            of(text).unwrap_err();
        }
    }
}
