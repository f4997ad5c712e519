//! Client secrets: what a client authenticates with.

use std::fmt;

use uuid::Uuid;

use super::{
    ClientKey, Malformed, Random, SecretHash, TagKey, Timestamp, random::RandomFailed,
    tagged_text::TaggedText, uuid_v4,
};

/// The longest label of a secret, in bytes.
pub const MAX_LABEL_LENGTH: usize = 128;

const PREFIX: &str = "jts_";

/// The id of one secret. It is no secret itself: it is shown in lists and stored with tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SecretId(pub Uuid);

/// A client secret in clear: just made, or just presented. It cannot print.
pub struct ClientSecret(TaggedText);

impl ClientSecret {
    /// Makes a new secret with 256 bits of randomness. Callers never choose one.
    pub fn generate(random: &dyn Random, key: &TagKey) -> Result<Self, RandomFailed> {
        let id = uuid_v4(random)?;
        let mut bytes = [0; 32];
        random.fill(&mut bytes)?;
        Ok(Self(TaggedText::mint(PREFIX, id, &bytes, key)))
    }

    /// Reads a presented secret.
    pub fn parse(text: &str) -> Result<Self, Malformed> {
        TaggedText::parse(PREFIX, text).map(Self)
    }

    /// Whether this text was once made by this installation. It costs a microsecond and turns
    /// guesses away before any hash; that it is right is still for the hash to say.
    #[must_use]
    pub fn has_tag_of(&self, key: &TagKey) -> bool {
        self.0.has_tag_of(key)
    }

    /// The id within the text, which names the one hash to compare with.
    #[must_use]
    pub fn id(&self) -> SecretId {
        SecretId(self.0.id())
    }

    /// The text. For the hash, and for showing it once to whoever made it.
    #[must_use]
    pub fn expose(&self) -> &str {
        self.0.expose()
    }
}

impl fmt::Debug for ClientSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClientSecret([redacted])")
    }
}

/// A client secret as it is stored.
#[derive(Debug, Clone)]
pub struct StoredSecret {
    /// The id, which the text of the secret carries.
    pub id: SecretId,
    /// The client that it belongs to.
    pub client: ClientKey,
    /// What is kept of the secret.
    pub hash: SecretHash,
    /// What people call it.
    pub label: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// From when it is refused, if it was given an end.
    pub expires_at: Option<Timestamp>,
    /// When it was taken out of use.
    pub retired_at: Option<Timestamp>,
    /// When it was declared leaked: tokens issued with it are dead.
    pub burnt_at: Option<Timestamp>,
}

impl StoredSecret {
    /// Whether a client may authenticate with it now.
    #[must_use]
    pub fn is_live(&self, now: Timestamp) -> bool {
        self.retired_at.is_none()
            && self.burnt_at.is_none()
            && self.expires_at.is_none_or(|end| now < end)
    }
}
