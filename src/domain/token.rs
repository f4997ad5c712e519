//! Access tokens: what is issued, and what is kept of it.

use std::{collections::BTreeSet, fmt, sync::Arc};

use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use uuid::Uuid;

use super::{
    Audience, ClientKey, Malformed, Random, Scope, SecretId, TagKey, Timestamp,
    random::RandomFailed, tagged_text::TaggedText, uuid_v7,
};

const PREFIX: &str = "jta_";

/// The id of a token, its `jti`: a uuid of version 7, so that tokens sort by the moment of issue
/// and a look-up touches one partition. It may be logged; the token may not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TokenId(pub Uuid);

/// The SHA-256 of a token's text, all that is kept of it. A slow hash would protect nothing: the
/// text has 256 random bits.
#[derive(Clone, Copy)]
pub struct TokenDigest([u8; 32]);

impl TokenDigest {
    /// A digest as it was stored.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The digest as it is stored.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Whether two digests are the same, in constant time.
    #[must_use]
    pub fn matches(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl fmt::Debug for TokenDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenDigest(..)")
    }
}

/// A token in clear: just minted, or just presented. It cannot print.
pub struct TokenText(TaggedText);

impl TokenText {
    /// Mints a token with 256 bits of randomness.
    pub fn mint(now: Timestamp, random: &dyn Random, key: &TagKey) -> Result<Self, RandomFailed> {
        let id = uuid_v7(now, random)?;
        let mut bytes = [0; 32];
        random.fill(&mut bytes)?;
        Ok(Self(TaggedText::mint(PREFIX, id, &bytes, key)))
    }

    /// Reads a presented token.
    pub fn parse(text: &str) -> Result<Self, Malformed> {
        TaggedText::parse(PREFIX, text).map(Self)
    }

    /// Whether this text was once made by this installation; what was not is inactive.
    #[must_use]
    pub fn has_tag_of(&self, key: &TagKey) -> bool {
        self.0.has_tag_of(key)
    }

    /// The id within the text.
    #[must_use]
    pub fn id(&self) -> TokenId {
        TokenId(self.0.id())
    }

    /// The digest of the whole text.
    #[must_use]
    pub fn digest(&self) -> TokenDigest {
        TokenDigest(Sha256::digest(self.0.expose()).into())
    }

    /// The text, for the one answer that carries it.
    #[must_use]
    pub fn expose(&self) -> &str {
        self.0.expose()
    }
}

impl fmt::Debug for TokenText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenText([redacted])")
    }
}

/// What tokens are good for. Behind a pointer, because most tokens of a client are good for the
/// same, and a node remembers many of them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Granted {
    /// The scopes that a token carries.
    pub scopes: BTreeSet<Scope>,
    /// The resource servers that it is for.
    pub audiences: BTreeSet<Audience>,
}

/// An access token as it is stored.
#[derive(Debug, Clone)]
pub struct AccessToken {
    /// The id, which the text of the token carries.
    pub id: TokenId,
    /// The digest of the text.
    pub digest: TokenDigest,
    /// The client that it was issued to.
    pub client: ClientKey,
    /// The secret that it was issued with, so that a leak can be answered precisely.
    pub secret: SecretId,
    /// What it is good for.
    pub granted: Arc<Granted>,
    /// When it was issued.
    pub issued_at: Timestamp,
    /// From when it is dead.
    pub expires_at: Timestamp,
}
