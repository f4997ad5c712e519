//! Client secrets, in clear and as stored.

use std::fmt;

use uuid::Uuid;

use super::{
    ClientKey, Malformed, Random, SecretHash, TagKey, TagKeys, Timestamp, random::RandomFailed,
    tagged_text::TaggedText, uuid_v4,
};

/// Maximum length of the label of a secret, in bytes.
pub const MAX_LABEL_LENGTH: usize = 128;

/// Maximum live secrets of a client. A rotation needs two; more are forgotten by everybody.
pub const MAX_LIVE_SECRETS: u32 = 8;

const PREFIX: &str = "jts_";

/// Id of a secret. The id itself is not secret: it is shown in lists and stored with tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SecretId(pub Uuid);

/// A client secret in clear, either just generated or just presented. Its `Debug` is redacted.
pub struct ClientSecret(TaggedText);

impl ClientSecret {
    /// Generates a secret with 256 bits of randomness. Secrets are never chosen by an operator.
    pub fn generate(random: &dyn Random, key: &TagKey) -> Result<Self, RandomFailed> {
        Self::generate_for(SecretId(uuid_v4(random)?), random, key)
    }

    /// Generates another text for a secret that keeps its id.
    pub fn generate_for(
        SecretId(id): SecretId,
        random: &dyn Random,
        key: &TagKey,
    ) -> Result<Self, RandomFailed> {
        let mut bytes = [0; 32];
        random.fill(&mut bytes)?;
        Ok(Self(TaggedText::mint(PREFIX, id, &bytes, key)))
    }

    /// Parses a presented secret. The tag is not checked; see [`has_tag_of`](Self::has_tag_of).
    pub fn parse(text: &str) -> Result<Self, Malformed> {
        TaggedText::parse(PREFIX, text).map(Self)
    }

    /// Whether the tag shows that this installation made the text. The check takes a microsecond
    /// and refuses guesses before any hash; only the hash shows whether the secret is right.
    #[must_use]
    pub fn has_tag_of(&self, keys: &TagKeys) -> bool {
        self.0.has_tag_of(keys)
    }

    /// Id within the text. It selects the one hash to compare with.
    #[must_use]
    pub fn id(&self) -> SecretId {
        SecretId(self.0.id())
    }

    /// The text in clear, to be hashed, or to be shown once to the operator who created it.
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
    /// Id, which is also within the text of the secret, unless another system made it.
    pub id: SecretId,
    /// Client that the secret belongs to.
    pub client: ClientKey,
    /// Hash of the text.
    pub hash: SecretHash,
    /// Label for operators, at most [`MAX_LABEL_LENGTH`] bytes.
    pub label: String,
    /// Time of creation.
    pub created_at: Timestamp,
    /// Expiry, from which on the secret is refused; `None` if it does not expire.
    pub expires_at: Option<Timestamp>,
    /// Time at which it was retired. Tokens issued with it stay active.
    pub retired_at: Option<Timestamp>,
    /// Time at which it was declared leaked. Tokens issued with it are inactive.
    pub leaked_at: Option<Timestamp>,
    /// A retirement that was asked for in advance.
    pub retiring: Option<Retiring>,
    /// Time at which its hash was erased, some time after it had ended.
    pub forgotten_at: Option<Timestamp>,
}

/// A retirement that was asked for in advance. It is also the expiry of the secret, by which nodes
/// of every version refuse it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retiring {
    /// From this moment on the secret is refused.
    pub at: Timestamp,
    /// The expiry before, which comes back if the retirement is taken back.
    pub kept_expiry: Option<Timestamp>,
}

/// What can be done with a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SecretState {
    /// A client can authenticate with it.
    Live,
    /// A client can authenticate with it, until its retirement begins.
    Retiring,
    /// It is refused, and its retirement can be taken back.
    Retired,
    /// It is refused since its expiry.
    Expired,
    /// It is refused for good, because its hash was erased some time after it had ended.
    Forgotten,
    /// It is refused for good, and tokens issued with it are inactive.
    Leaked,
}

impl SecretState {
    /// The state for people and in JSON.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Retiring => "retiring",
            Self::Retired => "retired",
            Self::Expired => "expired",
            Self::Forgotten => "forgotten",
            Self::Leaked => "leaked",
        }
    }
}

impl StoredSecret {
    /// Whether a client may authenticate with it at `now`.
    #[must_use]
    pub fn is_live(&self, now: Timestamp) -> bool {
        self.retired_at.is_none()
            && self.leaked_at.is_none()
            && self.expires_at.is_none_or(|end| now < end)
    }

    /// Its state at `now`.
    #[must_use]
    pub fn state(&self, now: Timestamp) -> SecretState {
        match (self.is_live(now), self.retiring) {
            (true, None) => SecretState::Live,
            (true, Some(_)) => SecretState::Retiring,
            _ if self.leaked_at.is_some() => SecretState::Leaked,
            _ if self.forgotten_at.is_some() => SecretState::Forgotten,
            (false, None) if self.retired_at.is_none() => SecretState::Expired,
            _ => SecretState::Retired,
        }
    }

    /// Its expiry, whether or not it is being retired before that.
    #[must_use]
    pub fn own_expiry(&self) -> Option<Timestamp> {
        self.retiring.map_or(self.expires_at, |retiring| retiring.kept_expiry)
    }
}
