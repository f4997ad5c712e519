//! Names of the acts that the audit trail records. Triggers record which row of which table was
//! changed, such as `secret.update`; what was done to it follows from the fields that changed.
//!
//! An act is named when an entry is read, so the stored trail and its hashes stay as they are.

use serde_json::Value;

/// What an entry says of one field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DetailChange {
    /// Name of the field, which is that of the column.
    pub field: String,
    /// Value before the change, in canonical form; `None` in an entry about something new.
    pub before: Option<Value>,
    /// Value after it; `None` in an entry about something that was deleted. Of a hash or a key an
    /// entry says only that it changed, and that is this value alone.
    pub after: Option<Value>,
}

/// An act: its name, the action that is recorded for it, and what has to have changed.
type Act = (&'static str, &'static str, fn(&Changes<'_>) -> bool);

const CLIENT: &str = "client.update";
const SECRET: &str = "secret.update";
const INSTALLATION: &str = "installation.update";

/// The acts, each with a condition that excludes all others. `docs/operations.md` lists them.
const ACTS: [Act; 18] = [
    ("client.disable", CLIENT, |of| of.only(&["state"]) && of.becomes("state", "disabled")),
    ("client.enable", CLIENT, |of| of.only(&["state"]) && of.becomes("state", "active")),
    ("client.rename", CLIENT, |of| of.only(&["client_id"])),
    ("client.describe", CLIENT, |of| of.only(&["name", "labels", "owner", "note"])),
    ("client.scopes.narrow", CLIENT, |of| of.only(SCOPES) && of.shrinks("scopes")),
    ("client.scopes.widen", CLIENT, |of| of.only(SCOPES) && of.grows("scopes")),
    ("client.audiences.narrow", CLIENT, |of| of.only(AUDIENCES) && of.shrinks("audiences")),
    ("client.audiences.widen", CLIENT, |of| of.only(AUDIENCES) && of.grows("audiences")),
    ("client.serves.narrow", CLIENT, |of| of.only(&["serves"]) && of.shrinks("serves")),
    ("client.serves.widen", CLIENT, |of| of.only(&["serves"]) && of.grows("serves")),
    ("client.quota.set", CLIENT, |of| of.only(QUOTA)),
    ("client.tokens.revoke", CLIENT, |of| of.only(&["generation"])),
    ("secret.burn", SECRET, |of| of.only(&["burnt_at", "retired_at"]) && of.begins("burnt_at")),
    ("secret.retire", SECRET, |of| {
        of.only(&["retired_at"]) && of.begins("retired_at")
            || of.only(RETIREMENT) && of.is_set("retire_at")
    }),
    ("secret.restore", SECRET, |of| {
        of.only(&[RETIREMENT, &["retired_at"]].concat())
            && (of.ends("retired_at") || of.ends("retire_at"))
            && !of.is_set("retired_at")
            && !of.is_set("retire_at")
    }),
    ("secret.forget", SECRET, |of| of.only(&["hash", "forgotten_at"]) && of.begins("forgotten_at")),
    ("secret.label", SECRET, |of| of.only(&["label"])),
    ("installation.tokens.revoke", INSTALLATION, |of| of.only(&["generation"])),
];

const SCOPES: &[&str] = &["scopes", "default_scopes"];
const AUDIENCES: &[&str] = &["audiences", "default_audience", "several_audiences"];
const QUOTA: &[&str] = &["tokens_per_second", "token_burst", "live_tokens"];
const RETIREMENT: &[&str] = &["retire_at", "expires_at", "kept_expires_at"];

/// The act that an entry records, such as `secret.retire`. It is the recorded action if the fields
/// that changed do not tell one act alone.
#[must_use]
pub fn act<'a>(action: &'a str, changes: &[DetailChange]) -> &'a str {
    let changes = Changes(changes);
    let found = ACTS.iter().find(|(_, recorded, holds)| *recorded == action && holds(&changes));
    found.map_or(action, |(name, ..)| *name)
}

/// The action that is recorded for an act, or for several, such as `client.scopes`. `None` if this
/// names no act but an action, or a kind of thing.
#[must_use]
pub fn recorded_action(name: &str) -> Option<&'static str> {
    if !name.contains('.') {
        return None;
    }
    ACTS.iter().find(|(act, ..)| is_act(act, name)).map(|(_, recorded, _)| *recorded)
}

/// Whether an act has this name, or is one of those that have it in common.
#[must_use]
pub fn is_act(act: &str, name: &str) -> bool {
    act.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

/// The fields that changed, in an entry about a change.
struct Changes<'a>(&'a [DetailChange]);

impl Changes<'_> {
    /// Whether some of these fields changed and no others. Every change of a client increments its
    /// version.
    fn only(&self, fields: &[&str]) -> bool {
        let mut changed = self.0.iter().filter(|change| change.field != "version").peekable();
        changed.peek().is_some() && changed.all(|change| fields.contains(&change.field.as_str()))
    }

    /// The values of a field before and after, if it changed and both are known.
    fn pair(&self, field: &str) -> Option<(&Value, &Value)> {
        let change = self.0.iter().find(|change| change.field == field)?;
        Some((change.before.as_ref()?, change.after.as_ref()?))
    }

    fn becomes(&self, field: &str, value: &str) -> bool {
        self.pair(field).is_some_and(|(_, after)| after == value)
    }

    /// Whether a field that is not null now changed.
    fn is_set(&self, field: &str) -> bool {
        self.pair(field).is_some_and(|(_, after)| !after.is_null())
    }

    /// Whether a field was null and is not any more.
    fn begins(&self, field: &str) -> bool {
        self.pair(field).is_some_and(|(before, after)| before.is_null() && !after.is_null())
    }

    /// Whether a field was not null and is now.
    fn ends(&self, field: &str) -> bool {
        self.pair(field).is_some_and(|(before, after)| !before.is_null() && after.is_null())
    }

    /// Whether a list lost members and gained none.
    fn shrinks(&self, field: &str) -> bool {
        self.pair(field).is_some_and(|(before, after)| is_within(after, before))
    }

    /// Whether a list gained members and lost none.
    fn grows(&self, field: &str) -> bool {
        self.pair(field).is_some_and(|(before, after)| is_within(before, after))
    }
}

/// Whether a list has some of the members of another one, and no others.
fn is_within(part: &Value, whole: &Value) -> bool {
    let (Some(part), Some(whole)) = (part.as_array(), whole.as_array()) else { return false };
    part.iter().all(|member| whole.contains(member))
        && whole.iter().any(|member| !part.contains(member))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// What an entry about a change says, by its pairs.
    fn changes(pairs: &Value) -> Vec<DetailChange> {
        let change = |(field, pair): (&String, &Value)| DetailChange {
            field: field.clone(),
            before: pair.get(0).cloned(),
            after: Some(pair.get(1).unwrap_or(pair).clone()),
        };
        pairs.as_object().unwrap().iter().map(change).collect()
    }

    #[test]
    fn an_act_is_named_by_what_changed() {
        let (now, later) = ("2027-01-01T00:00:00Z", "2027-01-02T00:00:00Z");
        let rows = [
            ("client.disable", json!({"state": ["active", "disabled"], "version": [1, 2]})),
            ("client.enable", json!({"state": ["disabled", "active"], "version": [1, 2]})),
            ("client.rename", json!({"client_id": ["orders", "shop"]})),
            ("client.describe", json!({"note": ["", "x"], "labels": [[], ["a=b"]]})),
            ("client.scopes.narrow", json!({"scopes": [["a", "b"], ["a"]]})),
            (
                "client.scopes.widen",
                json!({"scopes": [["a"], ["a", "b"]], "default_scopes": [["a"], ["a", "b"]]}),
            ),
            ("client.audiences.narrow", json!({"audiences": [["a"], []]})),
            ("client.audiences.widen", json!({"audiences": [[], ["a"]]})),
            ("client.serves.narrow", json!({"serves": [["a"], []]})),
            ("client.serves.widen", json!({"serves": [[], ["a"]]})),
            ("client.quota.set", json!({"token_burst": [null, 7]})),
            ("client.tokens.revoke", json!({"generation": [0, 1], "version": [1, 2]})),
            ("secret.burn", json!({"burnt_at": [null, now], "retired_at": [null, now]})),
            ("secret.burn", json!({"burnt_at": [null, now]})),
            ("secret.retire", json!({"retired_at": [null, now]})),
            ("secret.retire", json!({"retire_at": [null, now], "expires_at": [null, now]})),
            ("secret.retire", json!({"retire_at": [now, later], "expires_at": [now, later]})),
            ("secret.restore", json!({"retired_at": [now, null]})),
            ("secret.restore", json!({"retire_at": [now, null], "expires_at": [now, null]})),
            ("secret.forget", json!({"hash": "changed", "forgotten_at": [null, now]})),
            ("secret.label", json!({"label": ["", "x"]})),
            ("installation.tokens.revoke", json!({"generation": [0, 1]})),
        ];
        for (name, pairs) in &rows {
            let (recorded, changes) = (recorded_action(name).unwrap(), changes(pairs));
            assert_eq!(act(recorded, &changes), *name, "{pairs}");
            let fits = |one: &&Act| one.1 == recorded && one.2(&Changes(&changes));
            assert_eq!(ACTS.iter().filter(fits).count(), 1, "{name}");
        }
        for (act, ..) in ACTS {
            assert!(rows.iter().any(|(name, _)| *name == act), "{act}");
        }
    }

    #[test]
    fn the_manual_lists_every_act() {
        let manual = include_str!("../../../../docs/operations.md");
        for (act, ..) in ACTS {
            assert!(manual.contains(&format!("`{act}`")), "{act}");
        }
    }

    #[test]
    fn what_is_no_act_alone_keeps_the_recorded_action() {
        for (action, pairs) in [
            ("client.update", json!({"scopes": [["a"], ["b"]]})),
            ("client.update", json!({"state": ["active", "disabled"], "note": ["", "x"]})),
            ("client.update", json!({"default_scopes": [["a"], []]})),
            ("client.update", json!({"version": [1, 2]})),
            ("client.update", json!({"scopes": [null, "odd"]})),
            ("client.update", json!({})),
            ("client.create", json!({"state": "active"})),
            ("secret.update", json!({"expires_at": [null, "2027-01-01T00:00:00Z"]})),
            ("secret.update", json!({"burnt_at": ["2027-01-01T00:00:00Z", null]})),
            ("secret.update", json!({"hash": "changed"})),
            ("installation.update", json!({"tag_key": "changed"})),
            ("token.revoke", json!({})),
        ] {
            assert_eq!(act(action, &changes(&pairs)), action, "{pairs}");
        }
    }

    #[test]
    fn several_acts_have_a_name_in_common() {
        assert_eq!(recorded_action("client.scopes"), Some("client.update"));
        assert_eq!(recorded_action("secret.burn"), Some("secret.update"));
        for name in ["client", "client.update", "client.scope", "secret", "token.revoke", ""] {
            assert_eq!(recorded_action(name), None, "{name}");
        }
        assert!(is_act("client.scopes.widen", "client.scopes"));
        assert!(!is_act("client.scopes.widen", "client.scopes.wide"));
    }
}
