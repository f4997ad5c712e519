//! The text form shared by secrets and tokens.
//!
//! ```text
//! jts_ | base64url without padding of   id (16 bytes) | random (32 bytes) | tag (8 bytes)
//! jta_ |                                = 75 characters
//! ```
//!
//! As a regular expression: `jt[as]_[A-Za-z0-9_-]{75}`. All characters are unreserved (RFC 3986),
//! so percent-encoding never matters. The prefix is for scanners that search for leaked secrets.
//! The id selects the one row, whatever the number of rows. The tag is the first 8 bytes of
//! HMAC-SHA256 under the installation's key over prefix, id and random bytes. It lets a node refuse
//! garbage and guesses before any hash and any query; it authenticates nothing by itself.

use std::fmt;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use subtle::ConstantTimeEq;
use uuid::Uuid;
use zeroize::{Zeroize, Zeroizing};

use super::{Malformed, Random, random::RandomFailed};

const ID: usize = 16;
const BODY: usize = ID + 32;
pub(super) const TAG: usize = 8;
const ENCODED: usize = 75;

/// A key for tags. The first migration creates one and stores it in the database.
#[derive(Clone)]
pub struct TagKey(Zeroizing<[u8; 32]>);

impl TagKey {
    /// The key with these bytes.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// A new random key.
    ///
    /// # Errors
    /// If the operating system returns no randomness.
    pub fn generate(random: &dyn Random) -> Result<Self, RandomFailed> {
        let mut key = Zeroizing::new([0; 32]);
        random.fill(key.as_mut_slice())?;
        Ok(Self(key))
    }

    /// The bytes to store.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    pub(super) fn tag(&self, prefix: &str, body: &[u8]) -> [u8; TAG] {
        let mut mac = Hmac::<Sha256>::new_from_slice(self.0.as_slice())
            .expect("HMAC takes a key of any length");
        mac.update(prefix.as_bytes());
        mac.update(body);
        let full = mac.finalize().into_bytes();
        let mut tag = [0; TAG];
        tag.copy_from_slice(&full[..TAG]);
        tag
    }
}

impl fmt::Debug for TagKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TagKey([redacted])")
    }
}

/// The keys by which an installation knows its texts. New texts are made with the current key.
/// While the key is rotated there is another one: the next, until every node accepts it, and then
/// the previous, until it is retired.
#[derive(Debug, Clone)]
pub struct TagKeys {
    current: TagKey,
    other: Option<TagKey>,
}

impl TagKeys {
    /// The current key, and the other one that is accepted.
    #[must_use]
    pub const fn new(current: TagKey, other: Option<TagKey>) -> Self {
        Self { current, other }
    }

    /// The key that new texts are made with.
    #[must_use]
    pub const fn current(&self) -> &TagKey {
        &self.current
    }

    /// Whether the tag was made with one of these keys, compared in constant time. A second tag is
    /// computed only if the first differs.
    pub(super) fn have_made(&self, prefix: &str, body: &[u8], tag: &[u8]) -> bool {
        let made_with = |key: &TagKey| key.tag(prefix, body).as_slice().ct_eq(tag).into();
        made_with(&self.current) || self.other.as_ref().is_some_and(made_with)
    }
}

/// A secret or token as text, with its decoded parts. It has no `Debug`.
pub(super) struct TaggedText {
    text: Zeroizing<String>,
    prefix: &'static str,
    body: Zeroizing<[u8; BODY]>,
    tag: [u8; TAG],
}

impl TaggedText {
    /// Builds the text for `id` and 32 random bytes, and adds the tag.
    pub(super) fn mint(prefix: &'static str, id: Uuid, random: &[u8; 32], key: &TagKey) -> Self {
        let mut body = Zeroizing::new([0; BODY]);
        body[..ID].copy_from_slice(id.as_bytes());
        body[ID..].copy_from_slice(random);
        let tag = key.tag(prefix, body.as_slice());

        let mut bytes = Zeroizing::new([0; BODY + TAG]);
        bytes[..BODY].copy_from_slice(body.as_slice());
        bytes[BODY..].copy_from_slice(&tag);
        let mut text = String::with_capacity(prefix.len() + ENCODED);
        text.push_str(prefix);
        URL_SAFE_NO_PAD.encode_string(bytes.as_slice(), &mut text);
        Self { text: Zeroizing::new(text), prefix, body, tag }
    }

    /// Parses a text; the tag is not checked. Each value has exactly one spelling: the last
    /// character has two spare bits, and the decoder refuses them unless they are zero.
    pub(super) fn parse(prefix: &'static str, text: &str) -> Result<Self, Malformed> {
        const SHAPE: Malformed = Malformed("the text does not have the form of a token or secret");
        let encoded = text.strip_prefix(prefix).ok_or(SHAPE)?;
        if encoded.len() != ENCODED {
            return Err(SHAPE);
        }
        let mut bytes = Zeroizing::new([0; BODY + TAG]);
        let length = URL_SAFE_NO_PAD.decode_slice(encoded, bytes.as_mut_slice());
        if length != Ok(BODY + TAG) {
            return Err(SHAPE);
        }
        let mut body = Zeroizing::new([0; BODY]);
        body.copy_from_slice(&bytes[..BODY]);
        let mut tag = [0; TAG];
        tag.copy_from_slice(&bytes[BODY..]);
        Ok(Self { text: Zeroizing::new(text.to_owned()), prefix, body, tag })
    }

    /// Whether the tag was made with one of these keys.
    pub(super) fn has_tag_of(&self, keys: &TagKeys) -> bool {
        keys.have_made(self.prefix, self.body.as_slice(), &self.tag)
    }

    /// The id within the text.
    pub(super) fn id(&self) -> Uuid {
        let mut id = [0; ID];
        id.copy_from_slice(&self.body[..ID]);
        Uuid::from_bytes(id)
    }

    /// The text itself.
    pub(super) fn expose(&self) -> &str {
        &self.text
    }
}

impl Drop for TaggedText {
    fn drop(&mut self) {
        self.tag.zeroize();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn key() -> TagKey {
        TagKey::from_bytes([7; 32])
    }

    fn keys() -> TagKeys {
        TagKeys::new(key(), None)
    }

    #[test]
    fn a_text_is_ours_by_either_key_and_by_no_third() {
        let of = |byte: u8| TagKey::from_bytes([byte; 32]);
        let text = minted();
        assert!(text.has_tag_of(&TagKeys::new(key(), Some(of(8)))));
        assert!(text.has_tag_of(&TagKeys::new(of(8), Some(key()))));
        assert!(!text.has_tag_of(&TagKeys::new(of(8), Some(of(9)))));
        assert!(!text.has_tag_of(&TagKeys::new(of(8), None)));
    }

    fn minted() -> TaggedText {
        TaggedText::mint("jta_", Uuid::from_u128(42), &[9; 32], &key())
    }

    #[test]
    fn every_change_of_one_character_is_turned_away() {
        let text = minted().expose().to_owned();
        for at in 0..text.len() {
            for other in b'!'..=b'~' {
                let mut changed = text.clone().into_bytes();
                if changed[at] == other {
                    continue;
                }
                changed[at] = other;
                let changed = String::from_utf8(changed).unwrap();
                let accepted = TaggedText::parse("jta_", &changed)
                    .is_ok_and(|parsed| parsed.has_tag_of(&keys()));
                assert!(!accepted, "{changed} was accepted");
            }
        }
    }

    #[test]
    fn every_prefix_and_extension_is_turned_away() {
        let text = minted().expose().to_owned();
        for length in 0..text.len() {
            assert!(TaggedText::parse("jta_", &text[..length]).is_err());
        }
        assert!(TaggedText::parse("jta_", &format!("{text}A")).is_err());
        assert!(TaggedText::parse("jta_", &format!("{text}=")).is_err());
    }

    proptest! {
        #[test]
        fn what_is_minted_reads_back(id: u128, random: [u8; 32]) {
            let minted = TaggedText::mint("jts_", Uuid::from_u128(id), &random, &key());
            let parsed = TaggedText::parse("jts_", minted.expose()).unwrap();
            prop_assert_eq!(parsed.id(), Uuid::from_u128(id));
            prop_assert!(parsed.has_tag_of(&keys()));
            prop_assert_eq!(minted.expose().len(), 79);
        }

        #[test]
        fn no_text_panics(text in any::<String>()) {
            let _ = TaggedText::parse("jta_", &text);
        }
    }
}
