//! The audit trail: one row per change, each with a hash over its fields and the row before it.

mod act;
mod reader;

use std::fmt::{self, Write};

use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::{Actor, Malformed, Timestamp};

pub use self::{
    act::{DetailChange, act, is_act, recorded_action},
    reader::{AuditReader, AuditSummary, Tampered},
};

/// SHA-256 hash of a row of the trail.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct AuditHash(pub [u8; 32]);

impl fmt::Display for AuditHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for AuditHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AuditHash({self})")
    }
}

impl AuditHash {
    /// Parses 64 hexadecimal digits; `None` if it is something else.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut bytes = [0; 32];
        if text.len() != 64 || !text.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return None;
        }
        for (byte, digits) in bytes.iter_mut().zip(text.as_bytes().chunks(2)) {
            *byte = u8::from_str_radix(str::from_utf8(digits).ok()?, 16).ok()?;
        }
        Some(Self(bytes))
    }
}

/// A position in the trail and the hash of its row. An operator who keeps a mark outside the
/// database can detect that rows up to it were altered or removed. Its text form is `seq:hash`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AuditMark {
    /// Position of the row.
    pub seq: i64,
    /// Hash of the row.
    pub hash: AuditHash,
}

impl AuditMark {
    /// Parses `seq:hash`, the hash in 64 hexadecimal digits.
    pub fn parse(text: &str) -> Result<Self, Malformed> {
        let parts = text.split_once(':');
        parts
            .and_then(|(seq, hash)| {
                Some(Self { seq: seq.parse().ok()?, hash: AuditHash::parse(hash)? })
            })
            .ok_or(Malformed(
                "a mark reads seq:hash, the hash in 64 hexadecimal digits, as `jeton audit \
                 verify` and the log of a node show it",
            ))
    }
}

impl fmt::Display for AuditMark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.seq, self.hash)
    }
}

/// A row of the trail as stored: the columns of table `audit`. Its texts may have been edited by
/// hand, so they are shown and never acted upon.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditEntry {
    /// Position in the trail, from 1 without gaps.
    pub seq: i64,
    /// Time at which the row was written.
    pub at: Timestamp,
    /// Text of the [`Actor`]; `None` for a change made without Jeton.
    pub actor: Option<String>,
    /// Database role of the connection that made the change; `None` on SQLite.
    pub login: Option<String>,
    /// Kind of object and operation, such as `client.create`.
    pub action: String,
    /// Key of the client that the change concerns.
    pub client: Option<Uuid>,
    /// `client_id` of that client at the time.
    pub client_id: Option<String>,
    /// Id of the secret or token that the change concerns.
    pub subject: Option<Uuid>,
    /// JSON description of the values that were created, deleted or changed.
    pub detail: String,
    /// Hash stored in the row; `None` for a row that is not sealed yet.
    pub hash: Option<AuditHash>,
}

impl AuditEntry {
    /// Action of a row that records where the trail was cut.
    pub const CUT: &str = "audit.cut";

    /// Action of a row that records that the database was restored from a backup.
    pub const RESTORE: &str = "installation.restore";

    /// Action of a row that records that the database was copied from an embedded one.
    pub const COPY: &str = "installation.copy";

    /// Action of a row that records the revocation of a token.
    pub const REVOKE: &str = "token.revoke";

    /// Actor of a row that records a routine revocation: the client of the row itself.
    pub const OWNER: &str = "client";

    /// The row of a routine revocation, in which a client revoked its own token: nothing in it is
    /// said twice. The actor is named by `client_id` alone, and the detail is empty, because the
    /// revocation happened at `at` and lasts until the token expires.
    #[must_use]
    pub fn routine(self) -> Self {
        let actor = Some(Self::OWNER.to_owned());
        Self { actor, client: None, detail: "{}".to_owned(), ..self }
    }

    /// The actor, with the name of the client if the row only says that it was the client.
    #[must_use]
    pub fn actor_in_full(&self) -> Option<String> {
        match (self.actor.as_deref(), &self.client_id) {
            (Some(Self::OWNER), Some(client_id)) => Some(format!("client:{client_id}")),
            (actor, _) => actor.map(str::to_owned),
        }
    }

    /// Whether `actor` revoked its own token in this row. If the client was deleted meanwhile, the
    /// row has no `client_id` and must name it by its key.
    #[must_use]
    pub fn is_routine(&self, actor: &Actor) -> bool {
        self.action == Self::REVOKE && actor.as_str() == Self::OWNER && self.client_id.is_some()
    }

    /// Computes the hash of this row from its fields and the hash of the row before it. Each field
    /// is preceded by its length in bytes, so that no text can move from one field into the next;
    /// `-` stands for a missing field.
    #[must_use]
    pub fn hash_after(&self, previous: Option<AuditHash>) -> AuditHash {
        let client = self.client.map(|id| id.to_string());
        let subject = self.subject.map(|id| id.to_string());
        let fields = [
            Some(self.seq.to_string()),
            Some(self.at.unix_micros().to_string()),
            self.actor.clone(),
            self.login.clone(),
            Some(self.action.clone()),
            client,
            self.client_id.clone(),
            subject,
            Some(self.detail.clone()),
        ];
        let mut text = String::new();
        for field in fields {
            // Writing to a string does not fail.
            let _ = match field {
                Some(field) => write!(text, "{}:{field}", field.len()),
                None => write!(text, "-"),
            };
        }
        let mut hasher = Sha256::new();
        if let Some(previous) = previous {
            hasher.update(previous.0);
        }
        hasher.update(text);
        AuditHash(hasher.finalize().into())
    }
}

#[cfg(test)]
mod tests {
    use super::{AuditEntry, AuditHash, AuditMark, AuditReader, Tampered};
    use crate::Timestamp;

    fn entry(seq: i64, previous: Option<AuditHash>) -> AuditEntry {
        let mut entry = AuditEntry {
            seq,
            at: Timestamp::from_unix_micros(1_700_000_000_000_001),
            actor: Some("operator:größe".to_owned()),
            login: None,
            action: "client.update".to_owned(),
            client: None,
            client_id: Some("orders".to_owned()),
            subject: None,
            detail: "{}".to_owned(),
            hash: None,
        };
        entry.hash = Some(entry.hash_after(previous));
        entry
    }

    #[test]
    fn nothing_moves_from_one_field_into_the_next() {
        let from = |actor: Option<&str>, login: Option<&str>, client_id: &str| {
            let entry = AuditEntry {
                actor: actor.map(str::to_owned),
                login: login.map(str::to_owned),
                client_id: Some(client_id.to_owned()),
                ..entry(1, None)
            };
            entry.hash_after(None)
        };
        let texts = [
            from(Some("ab"), Some("c"), "d"),
            from(Some("a"), Some("bc"), "d"),
            from(Some("ab1:c"), None, "d"),
            from(Some("abc"), Some(""), "d"),
            from(Some("abc"), None, "d"),
            from(None, Some("abc"), "d"),
            from(Some("-"), Some("abc"), "d"),
        ];
        for (place, hash) in texts.iter().enumerate() {
            assert!(!texts[..place].contains(hash), "{place}");
        }
    }

    /// Same as the function `audit_hash` of the schema; the tests on Postgres compare the two.
    #[test]
    fn the_hash_is_that_of_lengths_and_texts() {
        let text = "1:116:17000000000000012:ab-13:client.update-6:orders-2:{}";
        let entry = AuditEntry { actor: Some("ab".to_owned()), ..entry(1, None) };
        let expected: [u8; 32] = sha2::Digest::finalize(
            <sha2::Sha256 as sha2::Digest>::new_with_prefix(text.as_bytes()),
        )
        .into();
        assert_eq!(entry.hash_after(None), AuditHash(expected));
    }

    #[test]
    fn a_mark_reads_back_as_it_was_shown() {
        let mark = AuditMark { seq: 12, hash: entry(1, None).hash.unwrap() };
        assert_eq!(AuditMark::parse(&mark.to_string()), Ok(mark));
        for wrong in ["", "12", "12:", "x:00", "12:0g", &format!("{mark}0"), "12:+f"] {
            AuditMark::parse(wrong).unwrap_err();
        }
        let signed = format!("1:{}", "+f".repeat(32));
        AuditMark::parse(&signed).unwrap_err();
    }

    #[test]
    fn a_row_that_lost_its_hash_is_no_row_that_waits_for_one() {
        let mut reader = AuditReader::default();
        let first = entry(1, None);
        let second = entry(2, first.hash);
        let third = entry(3, second.hash);
        reader.read(first).unwrap();
        reader.read(AuditEntry { hash: None, ..second }).unwrap();
        assert_eq!(reader.position(), 2);
        assert_eq!(reader.read(third), Err(Tampered::Unsealed(2)));
    }
}
