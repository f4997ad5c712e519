//! Finding changes in the audit trail: who gave a client a scope, and when.

mod detail;

use std::ops::RangeInclusive;

use serde_json::Value;

use super::{Registry, RegistryError};
use crate::{
    domain::{AuditEntry, DetailChange, is_act, recorded_action},
    store::{AuditFilter, Readable},
};

pub use self::detail::{act, canonical_detail, detail_changes};

/// Rows that one query reads.
const PAGE: u32 = 1_000;

/// Which entries of the audit trail are looked for: those with everything that is named here.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AuditQuery {
    /// What the database finds.
    pub rows: AuditFilter,
    /// Entries that record this act, or one of those that have this name in common.
    pub act: Option<String>,
    /// Entries that say something of this field, such as `scopes`.
    pub field: Option<String>,
    /// Entries in which a field has this value afterwards and had not before. For a list it is one
    /// member; of `field`, if that is named.
    pub gained: Option<String>,
    /// Entries in which a field had this value before and has not afterwards.
    pub lost: Option<String>,
}

impl AuditQuery {
    /// Entries of this action (`client.update`), of one kind of thing (`client`), of this act
    /// (`client.disable`) or of several (`client.scopes`). The database does not know acts, so it
    /// finds the entries of the action that is recorded for them.
    #[must_use]
    pub fn of_action(self, action: Option<String>) -> Self {
        let recorded = action.as_deref().and_then(recorded_action);
        let act = recorded.and(action.clone());
        let action = recorded.map(str::to_owned).or(action);
        Self { rows: AuditFilter { action, ..self.rows }, act, ..self }
    }

    /// Whether every entry that the database finds is looked for.
    const fn is_of_rows_alone(&self) -> bool {
        self.act.is_none() && self.field.is_none() && self.gained.is_none() && self.lost.is_none()
    }

    /// Whether the detail of an entry is what is looked for.
    fn accepts(&self, entry: &AuditEntry) -> bool {
        if self.is_of_rows_alone() {
            return true;
        }
        if self.act.as_ref().is_some_and(|name| !is_act(act(entry), name)) {
            return false;
        }
        let changes = detail_changes(entry);
        let of_field = changes
            .iter()
            .filter(|change| self.field.as_ref().is_none_or(|field| *field == change.field));
        let (mut is_there, mut is_gained, mut is_lost) = (false, false, false);
        for DetailChange { before, after, .. } in of_field {
            let (before, after) = (before.as_ref(), after.as_ref());
            let comes = |value: &String| !holds(before, value) && holds(after, value);
            let goes = |value: &String| holds(before, value) && !holds(after, value);
            is_there = true;
            is_gained |= self.gained.as_ref().is_some_and(comes);
            is_lost |= self.lost.as_ref().is_some_and(goes);
        }
        is_there && (is_gained || self.gained.is_none()) && (is_lost || self.lost.is_none())
    }
}

/// Whether there is a value and it is this text, or a list with this member.
fn holds(value: Option<&Value>, text: &str) -> bool {
    let Some(value) = value else { return false };
    match value {
        Value::Array(members) => members.iter().any(|member| holds(Some(member), text)),
        Value::String(value) => value == text,
        Value::Number(number) => number.to_string() == text,
        Value::Bool(value) => value.to_string() == text,
        Value::Null | Value::Object(_) => false,
    }
}

impl Registry {
    /// Finds the last `limit` entries within `seqs` that match, newest first, with the rows that
    /// cannot be read.
    pub async fn find_audit(
        &self,
        query: &AuditQuery,
        seqs: RangeInclusive<i64>,
        limit: usize,
    ) -> Result<Vec<Readable<AuditEntry>>, RegistryError> {
        let mut found = Vec::new();
        let (start, mut end) = seqs.into_inner();
        loop {
            let wanted = u32::try_from(limit - found.len()).unwrap_or(u32::MAX);
            let size = if query.is_of_rows_alone() { PAGE.min(wanted) } else { PAGE };
            let page = self.store.search_audit(&query.rows, start..=end, size).await?;
            let is_last = page.len() < size as usize;
            let before = page.iter().filter_map(seq).min();
            found.extend(page.into_iter().filter(|row| match row {
                Ok(entry) => query.accepts(entry),
                Err(_) => true,
            }));
            found.truncate(limit);
            match before {
                Some(before) if !is_last && found.len() < limit => end = before.saturating_sub(1),
                _ => return Ok(found),
            }
        }
    }
}

/// The position of a row in the trail, if it can be read.
#[must_use]
pub fn seq(row: &Readable<AuditEntry>) -> Option<i64> {
    row.as_ref().map_or_else(|row| row.seq, |entry| Some(entry.seq))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Timestamp;

    fn entry(action: &str, detail: &str) -> AuditEntry {
        AuditEntry {
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
        }
    }

    #[test]
    fn a_scope_is_gained_and_lost_whatever_database_wrote_the_entry() {
        let query = |field: &str, gained: &str, lost: &str| {
            let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
            AuditQuery {
                field: some(field),
                gained: some(gained),
                lost: some(lost),
                ..Default::default()
            }
        };
        for detail in [
            r#"{"scopes": [["read"], ["admin", "read"]], "version": [1, 2]}"#,
            r#"{"scopes": ["read", "admin read"], "version": [1, 2]}"#,
        ] {
            let widened = entry("client.update", detail);
            assert!(query("scopes", "admin", "").accepts(&widened));
            assert!(query("", "admin", "").accepts(&widened));
            assert!(query("scopes", "", "").accepts(&widened));
            for (field, gained, lost) in [
                ("scopes", "read", ""),
                ("scopes", "adm", ""),
                ("scopes", "", "admin"),
                ("scopes", "admin", "read"),
                ("audiences", "admin", ""),
                ("audiences", "", ""),
            ] {
                assert!(!query(field, gained, lost).accepts(&widened), "{field} {gained} {lost}");
            }
        }
        let created = entry("client.create", r#"{"scopes": "admin read", "state": "active"}"#);
        assert!(query("scopes", "admin", "").accepts(&created));
        assert!(!query("scopes", "", "admin").accepts(&created));
        let deleted = entry("client.delete", r#"{"scopes": ["admin"], "state": "active"}"#);
        assert!(query("scopes", "", "admin").accepts(&deleted));
        assert!(!query("scopes", "admin", "").accepts(&deleted));
        let disabled = entry("client.update", r#"{"state": ["active", "disabled"]}"#);
        assert!(query("state", "disabled", "active").accepts(&disabled));
    }
}
