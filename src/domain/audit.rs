//! The audit trail: who changed what, in rows that hang on each other.

mod reader;

use std::fmt::{self, Write};

use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::{Malformed, Timestamp};

pub use self::reader::{AuditReader, AuditSummary, Tampered};

/// The hash of a row of the trail: SHA-256.
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
    pub(super) fn parse(text: &str) -> Option<Self> {
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

/// A place in the trail and the hash there: whoever keeps one elsewhere notices that rows up to it
/// were altered or are missing. As text `seq:hash`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AuditMark {
    /// The place.
    pub seq: i64,
    /// The hash of the row there.
    pub hash: AuditHash,
}

impl AuditMark {
    /// Reads `seq:hash`, the hash in 64 hexadecimal digits.
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

/// A row of the trail, as it is stored: the columns of `audit`. The texts are what somebody wrote
/// there, perhaps by hand, so they are shown and never acted upon.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditEntry {
    /// The place in the trail, without gaps.
    pub seq: i64,
    /// When it was written.
    pub at: Timestamp,
    /// Who; none for a row that was edited beside Jeton.
    pub actor: Option<String>,
    /// The database role that was logged in.
    pub login: Option<String>,
    /// The thing and what was done.
    pub action: String,
    /// The client that it concerns.
    pub client: Option<Uuid>,
    /// What that client was called at that time.
    pub client_id: Option<String>,
    /// The secret or the token that it is about.
    pub subject: Option<Uuid>,
    /// JSON: what was made, deleted or changed.
    pub detail: String,
    /// The hash that stands in the row; none while a row waits to be sealed.
    pub hash: Option<AuditHash>,
}

impl AuditEntry {
    /// The action of a row that says where the trail was cut.
    pub const CUT: &str = "audit.cut";

    /// The action of a row that says that the database was restored from a copy.
    pub const RESTORE: &str = "installation.restore";

    /// What the hash of this row must be, after a row of this hash. Each field is preceded by its
    /// length in bytes, so that nothing can be moved from one into the next; `-` stands for none.
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
    use crate::domain::Timestamp;

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

    /// The same as the function `audit_hash` of the schema, which the tests on Postgres compare.
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
