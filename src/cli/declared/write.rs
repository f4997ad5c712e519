//! Writes clients as TOML and YAML. Both take a text or a list of texts as JSON writes it, so one
//! writer serves both. Fields that have their default are left out.

use std::fmt::Write as _;

use serde_json::json;

use super::{
    document::Format,
    fields::{default_grants, default_lifetime},
    file::FORMAT,
};
use crate::domain::{ClientRecord, QuotaLimit, SET_LABEL, TokenLifetime};

/// A key with its value, as it stands in the file.
type Entry = (&'static str, Written);

/// A value in a file.
pub(in crate::cli) enum Written {
    /// A text, a number, true or false, or a list of texts.
    Json(serde_json::Value),
    /// A table of texts.
    Pairs(Vec<(String, String)>),
}

impl Written {
    pub(in crate::cli) fn text(text: &str) -> Self {
        Self::Json(json!(text))
    }

    fn render(&self, format: Format) -> String {
        let (equals, open, close) = match format {
            Format::Toml => (" = ", "{ ", " }"),
            Format::Yaml => (": ", "{", "}"),
        };
        match self {
            // With a space after each comma.
            Self::Json(serde_json::Value::Array(texts)) => {
                let texts = texts.iter().map(ToString::to_string).collect::<Vec<_>>();
                format!("[{}]", texts.join(", "))
            }
            Self::Json(value) => value.to_string(),
            Self::Pairs(pairs) => {
                let pair = |(key, value): &(String, String)| {
                    format!("{}{equals}{}", json!(key), json!(value))
                };
                let pairs = pairs.iter().map(pair).collect::<Vec<_>>();
                format!("{open}{}{close}", pairs.join(", "))
            }
        }
    }
}

/// The fields of a client that are not what a file without them says.
pub(in crate::cli) fn entries(record: &ClientRecord) -> Vec<Entry> {
    let ClientRecord { client, about } = record;
    let text = |text: &str| (!text.is_empty()).then(|| Written::text(text));
    let number = |limit: Option<QuotaLimit>| limit.map(|limit| Written::Json(json!(limit.get())));
    let grants: Vec<_> = client.grants.iter().map(|grant| grant.as_str()).collect();
    let lifetime = client.token_lifetime;
    let labels = about.labels.iter().filter(|(key, _)| key.as_str() != SET_LABEL);
    let labels: Vec<_> = labels.map(|(key, value)| (key.to_string(), value.to_owned())).collect();
    let entries = [
        ("name", text(&client.name)),
        ("grants", (client.grants != default_grants()).then(|| list(&grants))),
        ("scopes", filled(list(&client.scopes))),
        (
            "default_scopes",
            (client.default_scopes != client.scopes).then(|| list(&client.default_scopes)),
        ),
        ("audiences", filled(list(&client.audiences))),
        (
            "default_audience",
            client.default_audience.as_ref().map(|audience| Written::text(audience.as_str())),
        ),
        ("several_audiences", client.several_audiences.then_some(Written::Json(json!(true)))),
        ("serves", filled(list(&client.serves))),
        (
            "token_lifetime",
            (lifetime != default_lifetime(&client.audiences))
                .then(|| Written::text(&duration(lifetime))),
        ),
        ("tokens_per_second", number(client.quota.tokens_per_second)),
        ("token_burst", number(client.quota.burst)),
        ("live_tokens", number(client.quota.live_tokens)),
        ("labels", (!labels.is_empty()).then_some(Written::Pairs(labels))),
        ("owner", text(&about.owner)),
        ("note", text(&about.note)),
        ("grantable_scopes", filled(list(&about.grantable.scopes))),
        ("grantable_audiences", filled(list(&about.grantable.audiences))),
    ];
    entries.into_iter().filter_map(|(key, value)| Some((key, value?))).collect()
}

fn list<'a, T: ToString + 'a>(set: impl IntoIterator<Item = &'a T>) -> Written {
    Written::Json(set.into_iter().map(ToString::to_string).collect())
}

/// A list, unless it is empty.
fn filled(list: Written) -> Option<Written> {
    let is_empty = matches!(&list, Written::Json(json) if *json == json!([]));
    (!is_empty).then_some(list)
}

fn duration(lifetime: TokenLifetime) -> String {
    let seconds = lifetime.seconds();
    match (seconds % 3_600, seconds % 60) {
        (0, _) => format!("{}h", seconds / 3_600),
        (_, 0) => format!("{}m", seconds / 60),
        _ => format!("{seconds}s"),
    }
}

/// A file that declares these clients as they are.
pub(in crate::cli) fn write_file(
    format: Format,
    set: Option<&str>,
    records: &[ClientRecord],
) -> String {
    let set = set.map(|set| ("set", Written::text(set)));
    let head =
        [("format", Written::Json(json!(FORMAT)))].into_iter().chain(set).collect::<Vec<_>>();
    let mut text = String::new();
    match format {
        Format::Toml => {
            write_pairs(&mut text, &head);
            for record in records {
                let path = ["client", record.client.client_id.as_str()];
                write_toml_table(&mut text, &path, &entries(record));
            }
        }
        Format::Yaml => {
            for (key, value) in &head {
                let _ = writeln!(text, "{key}: {}", value.render(format));
            }
            text.push_str(if records.is_empty() { "client: {}\n" } else { "client:\n" });
            for record in records {
                let (id, entries) = (json!(record.client.client_id.as_str()), entries(record));
                let _ = writeln!(text, "  {id}:{}", if entries.is_empty() { " {}" } else { "" });
                for (key, value) in entries {
                    let _ = writeln!(text, "    {key}: {}", value.render(format));
                }
            }
        }
    }
    text
}

/// Adds a table to a TOML file.
pub(in crate::cli) fn write_toml_table(text: &mut String, path: &[&str], entries: &[Entry]) {
    let is_bare = |key: &str| {
        !key.is_empty()
            && key.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
    };
    let quoted = |key: &&str| if is_bare(key) { (*key).to_owned() } else { json!(key).to_string() };
    let path = path.iter().map(quoted).collect::<Vec<_>>();
    let _ = writeln!(text, "\n[{}]", path.join("."));
    write_pairs(text, entries);
}

fn write_pairs(text: &mut String, entries: &[Entry]) {
    for (key, value) in entries {
        let _ = writeln!(text, "{key} = {}", value.render(Format::Toml));
    }
}
