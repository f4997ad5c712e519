//! Access tokens, in clear and as stored.

use std::{collections::BTreeSet, fmt, sync::Arc};

use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use uuid::Uuid;

use super::{
    Audience, Client, ClientKey, CredentialId, Malformed, Random, Scope, TagKey, TagKeys,
    Timestamp, random::RandomFailed, tagged_text::TaggedText, uuid_v7,
};

const PREFIX: &str = "jta_";

/// Id of a token, its `jti`: a UUID of version 7, so that tokens sort by time of issue and a
/// look-up reads one partition. The id may be logged; the token may not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TokenId(pub Uuid);

/// SHA-256 of a token's text, stored instead of the text. A slow hash would add no protection,
/// because the text has 256 random bits.
#[derive(Clone, Copy)]
pub struct TokenDigest([u8; 32]);

impl TokenDigest {
    /// The digest with these stored bytes.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The bytes to store.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Whether two digests are equal, compared in constant time.
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

/// A token in clear, either just minted or just presented. Its `Debug` is redacted.
pub struct TokenText(TaggedText);

impl TokenText {
    /// Mints a token with 256 bits of randomness.
    pub fn mint(now: Timestamp, random: &dyn Random, key: &TagKey) -> Result<Self, RandomFailed> {
        let id = uuid_v7(now, random)?;
        let mut bytes = [0; 32];
        random.fill(&mut bytes)?;
        Ok(Self(TaggedText::mint(PREFIX, id, &bytes, key)))
    }

    /// Parses a presented token. The tag is not checked; see [`has_tag_of`](Self::has_tag_of).
    pub fn parse(text: &str) -> Result<Self, Malformed> {
        TaggedText::parse(PREFIX, text).map(Self)
    }

    /// Whether the tag shows that this installation made the text. A token without it is inactive.
    #[must_use]
    pub fn has_tag_of(&self, keys: &TagKeys) -> bool {
        self.0.has_tag_of(keys)
    }

    /// Id within the text.
    #[must_use]
    pub fn id(&self) -> TokenId {
        TokenId(self.0.id())
    }

    /// Digest of the whole text.
    #[must_use]
    pub fn digest(&self) -> TokenDigest {
        TokenDigest(Sha256::digest(self.0.expose()).into())
    }

    /// The text in clear, for the one response that carries it.
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

/// Scopes and audiences of a token. Shared behind an `Arc`, because a node caches many tokens and
/// most tokens of a client have the same ones.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Granted {
    /// Scopes of the token.
    pub scopes: BTreeSet<Scope>,
    /// Resource servers that the token is for.
    pub audiences: BTreeSet<Audience>,
}

impl Granted {
    /// What is left of it after all that was taken from `client` since: the scopes and audiences
    /// that the client has now. Nothing is ever added. `None` if it had scopes and none is left, or
    /// audiences and none is left. An empty set would have another meaning: a token that was issued
    /// without scopes, or for no audience.
    #[must_use]
    pub fn left_to(self: &Arc<Self>, client: &Client) -> Option<Arc<Self>> {
        if self.scopes.is_subset(&client.scopes) && self.audiences.is_subset(&client.audiences) {
            return Some(Arc::clone(self));
        }
        let left = Self {
            scopes: self.scopes.intersection(&client.scopes).cloned().collect(),
            audiences: self.audiences.intersection(&client.audiences).cloned().collect(),
        };
        let has_lost_all = left.scopes.is_empty() && !self.scopes.is_empty()
            || left.audiences.is_empty() && !self.audiences.is_empty();
        (!has_lost_all).then(|| Arc::new(left))
    }

    /// What a resource server for `served` may learn of it: of the audiences, only its own. `None`
    /// if there is none of them.
    #[must_use]
    pub fn seen_from(self: &Arc<Self>, served: &BTreeSet<Audience>) -> Option<Arc<Self>> {
        if self.audiences.is_disjoint(served) {
            return None;
        }
        if self.audiences.is_subset(served) {
            return Some(Arc::clone(self));
        }
        let audiences = self.audiences.intersection(served).cloned().collect();
        Some(Arc::new(Self { scopes: self.scopes.clone(), audiences }))
    }
}

/// An access token as it is stored.
#[derive(Debug, Clone)]
pub struct AccessToken {
    /// Id, which is also within the text of the token.
    pub id: TokenId,
    /// Digest of the text.
    pub digest: TokenDigest,
    /// Client that the token was issued to.
    pub client: ClientKey,
    /// Credential that the token was issued with, so that a leak ends exactly the tokens issued
    /// with the leaked one.
    pub credential: CredentialId,
    /// Scopes and audiences.
    pub granted: Arc<Granted>,
    /// Time of issue.
    pub issued_at: Timestamp,
    /// Expiry, from which on the token is inactive.
    pub expires_at: Timestamp,
}
