//! An entry of the audit trail: its table row, its JSON, and its change in words.

use serde_json::{Value, json};

use crate::{
    cli::{table::Column, unreadable},
    domain::{AuditEntry, DetailChange},
    registry::{act, canonical_detail, detail_changes},
    store::Readable,
};

/// The columns. On a terminal the change has a line of its own below its row.
pub(super) const COLUMNS: [Column; 6] = [
    Column::whole("seq"),
    Column::whole("at"),
    Column::whole("act"),
    Column::text("client"),
    Column::text("actor"),
    Column::whole("secret or token"),
];

pub(super) fn row(entry: &Readable<AuditEntry>) -> [String; 6] {
    let entry = match entry {
        Ok(entry) => entry,
        Err(row) => return unreadable::cells(row, 2),
    };
    let login = entry.login.as_deref().map(|login| format!("by hand: {login}"));
    let who = entry.actor_in_full().or(login).unwrap_or_else(|| "by hand".to_owned());
    [
        entry.seq.to_string(),
        entry.at.to_string(),
        act(entry).to_owned(),
        entry.client_id.clone().unwrap_or_default(),
        who,
        entry.subject.map(|id| id.to_string()).unwrap_or_default(),
    ]
}

pub(super) fn json(entry: &Readable<AuditEntry>) -> Value {
    let entry = match entry {
        Ok(entry) => entry,
        Err(row) => return unreadable::audit_json(row),
    };
    json!({
        "seq": entry.seq,
        "at": entry.at.to_string(),
        "actor": entry.actor_in_full(),
        "login": entry.login,
        "action": entry.action,
        "act": act(entry),
        "client": entry.client,
        "client_id": entry.client_id,
        "subject": entry.subject,
        "detail": canonical_detail(entry),
        "hash": entry.hash.map(|hash| hash.to_string()),
    })
}

/// What changed, such as `scopes +admin -read; state active → disabled`. Empty values of something
/// new or deleted are left out, and so is the version, which every change of a client increments.
/// The generation is a number for the database; a larger one means that all tokens were revoked.
pub(super) fn change(entry: &Readable<AuditEntry>) -> String {
    let Ok(entry) = entry else { return String::new() };
    let changes = detail_changes(entry);
    if changes.is_empty() && entry.detail != "{}" {
        // Not JSON, so somebody else wrote it.
        return entry.detail.clone();
    }
    let changes = changes.iter().filter(|change| change.field != "version");
    changes.filter_map(words).collect::<Vec<_>>().join("; ")
}

fn words(DetailChange { field, before, after }: &DetailChange) -> Option<String> {
    match (before, after) {
        (Some(_), Some(_)) if field == "generation" => Some("all tokens revoked".to_owned()),
        _ if field == "generation" => None,
        (Some(Value::Array(before)), Some(Value::Array(after))) => {
            let come = after.iter().filter(|member| !before.contains(member));
            let go = before.iter().filter(|member| !after.contains(member));
            let members = come.map(|member| ('+', member)).chain(go.map(|member| ('-', member)));
            let members = members.map(|(sign, member)| format!(" {sign}{}", plain(member)));
            Some(format!("{field}{}", members.collect::<String>()))
        }
        (Some(before), Some(after)) => {
            Some(format!("{field} {} → {}", quoted(before), quoted(after)))
        }
        (before, after) => {
            let value = before.as_ref().or(after.as_ref()).filter(|value| !is_empty(value))?;
            Some(format!("{field} {}", plain(value)))
        }
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(members) => members.is_empty(),
        _ => false,
    }
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(members) => members.iter().map(plain).collect::<Vec<_>>().join(" "),
        value => value.to_string(),
    }
}

/// An empty text is shown as such.
fn quoted(value: &Value) -> String {
    match value {
        Value::String(text) if text.is_empty() => "\"\"".to_owned(),
        Value::Null => "none".to_owned(),
        value => plain(value),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Timestamp;

    fn said(action: &str, detail: &str) -> String {
        change(&Ok(AuditEntry {
            seq: 1,
            at: Timestamp::from_unix_micros(0),
            actor: None,
            login: None,
            action: action.to_owned(),
            client: None,
            client_id: None,
            subject: None,
            detail: detail.to_owned(),
            hash: None,
        }))
    }

    #[test]
    fn a_change_is_said_in_words() {
        let update = r#"{"scopes": ["read", "admin"], "name": ["", "Orders"], "version": [1, 2],
                         "not_before": [null, 1795426000000000]}"#;
        assert_eq!(
            said("client.update", update),
            "name \"\" → Orders; not_before none → 2026-11-23T09:26:40Z; scopes +admin -read"
        );
        let created = r#"{"scopes": ["read", "write"], "name": "", "state": "active"}"#;
        assert_eq!(said("client.create", created), "scopes read write; state active");
        assert_eq!(said("client.delete", created), "scopes read write; state active");
        assert_eq!(said("secret.update", r#"{"hash": "changed"}"#), "hash changed");
        assert_eq!(said("token.revoke", "{}"), "");
        assert_eq!(said("client.update", r#"{"generation": [0, 1]}"#), "all tokens revoked");
        assert_eq!(said("client.create", r#"{"generation": 0}"#), "");
        assert_eq!(said("client.update", "not JSON"), "not JSON");
    }
}
