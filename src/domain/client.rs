//! Clients: machines with credentials (RFC 6749, section 2). All of them are confidential.

use std::{collections::BTreeSet, fmt, time::Duration};

use uuid::Uuid;

use super::{Audience, Malformed, Scope, Timestamp};

/// The longest display name of a client, in bytes.
pub const MAX_NAME_LENGTH: usize = 256;

/// The immutable id of a client. A `client_id` that is given again names another client, so
/// tokens of its former owner stay dead.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClientKey(pub Uuid);

/// The public name by which a client authenticates.
///
/// Unreserved characters of RFC 3986 only, so that the form encoding that RFC 6749 asks for in
/// Basic changes nothing and clients that leave it out, as curl does, are understood as well.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClientId(String);

impl ClientId {
    /// Reads a client id.
    pub fn parse(text: &str) -> Result<Self, Malformed> {
        let allowed =
            |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~');
        if text.is_empty() || text.len() > 128 || !text.bytes().all(allowed) {
            return Err(Malformed("a client id is 1 to 128 characters from A-Z a-z 0-9 - . _ ~"));
        }
        Ok(Self(text.to_owned()))
    }

    /// The client id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ClientId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Whether a client may act.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientState {
    /// It may authenticate, and its tokens count.
    Active,
    /// It may not authenticate, and its tokens read as inactive for as long as this lasts.
    Disabled,
}

impl ClientState {
    /// Reads a state as it is stored.
    pub fn parse(text: &str) -> Result<Self, Malformed> {
        match text {
            "active" => Ok(Self::Active),
            "disabled" => Ok(Self::Disabled),
            _ => Err(Malformed("a client is active or disabled")),
        }
    }

    /// The state as it is stored and shown.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Disabled => "disabled",
        }
    }
}

/// A way to ask for a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum GrantType {
    /// RFC 6749, section 4.4.
    ClientCredentials,
}

impl GrantType {
    /// Reads a grant by its registered name, in which case matters.
    pub fn parse(text: &str) -> Result<Self, Malformed> {
        match text {
            "client_credentials" => Ok(Self::ClientCredentials),
            _ => Err(Malformed("the only grant supported is client_credentials")),
        }
    }

    /// The registered name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ClientCredentials => "client_credentials",
        }
    }
}

/// How long the tokens of a client live: whole seconds, at most a day.
///
/// The upper bound is what lets a partition of the token table be dropped by its age alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct TokenLifetime(u32);

impl TokenLifetime {
    /// An hour, the lifetime of a client that names none.
    pub const DEFAULT: Self = Self(3_600);
    /// A day.
    pub const MAX: Self = Self(86_400);

    /// A lifetime of so many seconds.
    pub fn from_seconds(seconds: u32) -> Result<Self, Malformed> {
        if (1..=Self::MAX.0).contains(&seconds) {
            Ok(Self(seconds))
        } else {
            Err(Malformed("a token lives for 1 to 86400 seconds"))
        }
    }

    /// The lifetime in seconds.
    #[must_use]
    pub const fn seconds(self) -> u32 {
        self.0
    }

    /// The lifetime as a duration.
    #[must_use]
    pub const fn duration(self) -> Duration {
        Duration::from_secs(self.0 as u64)
    }
}

/// A registered client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Client {
    /// The immutable id.
    pub key: ClientKey,
    /// The public name.
    pub client_id: ClientId,
    /// What people call it.
    pub name: String,
    /// Whether it may act.
    pub state: ClientState,
    /// The grants that it may use; none for a resource server that only introspects.
    pub grants: BTreeSet<GrantType>,
    /// The scopes that its tokens may carry.
    pub scopes: BTreeSet<Scope>,
    /// The scopes of a token for which none are asked; a subset of `scopes`.
    pub default_scopes: BTreeSet<Scope>,
    /// The audiences that its tokens may be for.
    pub audiences: BTreeSet<Audience>,
    /// The audiences that it serves: it may introspect their tokens.
    pub serves: BTreeSet<Audience>,
    /// How long its tokens live.
    pub token_lifetime: TokenLifetime,
    /// Tokens issued before this moment are dead.
    pub not_before: Option<Timestamp>,
    /// When it was registered.
    pub created_at: Timestamp,
    /// Grows with every change; the etag of the row.
    pub version: i64,
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_client_id_survives_form_encoding_unchanged(text in any::<String>()) {
            if ClientId::parse(&text).is_ok() {
                prop_assert!(!text.is_empty() && text.len() <= 128);
                prop_assert!(!text.contains(['%', '+', ':', ' ', '&', '=']));
                prop_assert!(text.is_ascii());
            }
        }
    }

    #[test]
    fn a_lifetime_is_bounded_on_both_sides() {
        assert!(TokenLifetime::from_seconds(0).is_err());
        assert!(TokenLifetime::from_seconds(1).is_ok());
        assert!(TokenLifetime::from_seconds(86_400).is_ok());
        assert!(TokenLifetime::from_seconds(86_401).is_err());
    }
}
