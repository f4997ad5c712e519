//! Etags of clients: a change is made only to the content that its author has seen.

use std::fmt;

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use sha2::{Digest, Sha256};

use super::{ClientRecord, FieldValue, Malformed};

/// Bytes of the digest over all fields.
const WHOLE: usize = 12;

/// Digest of the content of a client, edits by hand included.
///
/// The first 12 bytes are those of a SHA-256 over all fields, and decide. One more byte for each
/// field tells which of them differ; it misses one difference in 256.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Etag([u8; WHOLE + ClientRecord::FIELDS.len()]);

impl Etag {
    /// The etag of a client as it is.
    #[must_use]
    pub fn of(record: &ClientRecord) -> Self {
        let mut whole = Sha256::new();
        let mut etag = [0; WHOLE + ClientRecord::FIELDS.len()];
        for (at, value) in record.values().iter().enumerate() {
            let digest = digest(value);
            whole.update(digest);
            etag[WHOLE + at] = digest[0];
        }
        etag[..WHOLE].copy_from_slice(&whole.finalize()[..WHOLE]);
        Self(etag)
    }

    /// Parses the text form: URL-safe base64 without padding.
    pub fn parse(text: &str) -> Result<Self, Malformed> {
        let bytes = BASE64_URL_SAFE_NO_PAD.decode(text).ok();
        bytes.and_then(|bytes| bytes.try_into().ok()).map(Self).ok_or(Malformed(
            "an etag is what `jeton client show` of this version prints as etag: read the client \
             again and use the new one",
        ))
    }

    /// Whether the client has the content that this etag was made of.
    #[must_use]
    pub fn matches(&self, record: &ClientRecord) -> bool {
        self.0[..WHOLE] == Self::of(record).0[..WHOLE]
    }

    /// The fields of the client that are not as they were when this etag was made.
    #[must_use]
    pub fn differing(&self, record: &ClientRecord) -> Vec<&'static str> {
        let now = Self::of(record);
        let bytes = self.0[WHOLE..].iter().zip(&now.0[WHOLE..]);
        let fields = ClientRecord::FIELDS.into_iter().zip(bytes);
        fields.filter(|(_, (then, now))| then != now).map(|(field, _)| field).collect()
    }
}

impl fmt::Display for Etag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&BASE64_URL_SAFE_NO_PAD.encode(self.0))
    }
}

/// Digest of one value: its kind, and each text with its length before it.
fn digest(value: &FieldValue) -> [u8; 32] {
    let mut hash = Sha256::new();
    let (kind, members) = match value {
        FieldValue::Text(text) => (b't', vec![text.clone()]),
        FieldValue::MaybeText(text) => (b'o', text.iter().cloned().collect()),
        FieldValue::Flag(flag) => (b'f', vec![flag.to_string()]),
        FieldValue::List(members) => (b'l', members.clone()),
        FieldValue::Labels(labels) => (b'k', labels.texts()),
        FieldValue::Number(number) => (b'n', number.iter().map(ToString::to_string).collect()),
        FieldValue::Moment(moment) => {
            (b'm', moment.iter().map(|moment| moment.unix_micros().to_string()).collect())
        }
    };
    hash.update([kind]);
    for member in members {
        hash.update((member.len() as u64).to_be_bytes());
        hash.update(member);
    }
    hash.finalize().into()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::{About, Client, Labels, Scope, Timestamp, client::client_for_tests};

    fn record() -> ClientRecord {
        let client = Client {
            name: "Orders".to_owned(),
            scopes: Scope::parse_set(["read", "write"]).unwrap(),
            ..client_for_tests()
        };
        ClientRecord { client, about: About::default() }
    }

    #[test]
    fn an_etag_tells_which_fields_differ() {
        let first = record();
        let etag = Etag::of(&first);
        assert_eq!(Etag::parse(&etag.to_string()), Ok(etag));
        assert!(etag.matches(&first) && etag.differing(&first).is_empty());

        let mut later = first.clone();
        later.client.version = 9;
        assert!(etag.matches(&later), "it is the same content");
        later.client.scopes = Scope::parse_set(["read"]).unwrap();
        later.about.labels = Labels::parse(["team=payments"]).unwrap();
        later.client.not_before = Some(Timestamp::from_unix_micros(0));
        assert!(!etag.matches(&later));
        assert_eq!(etag.differing(&later), ["scopes", "labels", "not_before"]);
        let changes = first.changes_to(&later);
        let fields: Vec<_> = changes.iter().map(|change| change.field).collect();
        assert_eq!(fields, ["scopes", "labels", "not_before"]);
        assert_eq!(changes[0].before.to_string(), "read write");
    }

    #[test]
    fn no_text_can_move_from_one_value_into_the_next() {
        let list =
            |members: &[&str]| FieldValue::List(members.iter().map(ToString::to_string).collect());
        let values = [
            list(&["a b"]),
            list(&["a", "b"]),
            list(&[]),
            list(&[""]),
            FieldValue::Text("a b".to_owned()),
            FieldValue::MaybeText(None),
            FieldValue::MaybeText(Some(String::new())),
            FieldValue::Flag(false),
            FieldValue::Flag(true),
            FieldValue::Number(None),
            FieldValue::Number(Some(0)),
            FieldValue::Moment(None),
            FieldValue::Moment(Some(Timestamp::from_unix_micros(0))),
        ];
        let digests: BTreeSet<_> = values.iter().map(digest).collect();
        assert_eq!(digests.len(), values.len());
    }

    #[test]
    fn what_is_no_etag_is_refused() {
        let etag = Etag::of(&record()).to_string();
        for text in ["", "W/\"1\"", &etag[1..], &format!("{etag}AAAA")] {
            Etag::parse(text).unwrap_err();
        }
    }
}
