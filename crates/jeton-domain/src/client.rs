//! Registered clients (RFC 6749, section 2). All of them are confidential clients.

use std::{collections::BTreeSet, fmt, time::Duration};

use uuid::Uuid;

use super::{Audience, ClientQuota, Malformed, Scope, Timestamp};

/// Maximum length of a client's display name, in bytes.
pub const MAX_NAME_LENGTH: usize = 256;

/// Immutable internal id of a client. If a `client_id` is deleted and registered again, the new
/// client has another key, so tokens of the old one stay inactive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClientKey(pub Uuid);

/// Public id with which a client authenticates.
///
/// RFC 6749 allows any printable ASCII. This is narrower: letters, digits and what e-mail
/// addresses, URLs and URNs need, without space and quotes and without what a shell obeys, because
/// commands and messages show ids as they are. The form encoding of Basic credentials changes
/// nothing in an id of unreserved characters (RFC 3986) alone; clients that omit it, such as curl,
/// need such ids.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClientId(String);

impl ClientId {
    /// Parses a client id.
    pub fn parse(text: &str) -> Result<Self, Malformed> {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~@:/+%=".contains(&byte);
        if text.is_empty() || text.len() > 128 || !text.bytes().all(allowed) {
            return Err(Malformed(
                "a client id is 1 to 128 characters from A-Z a-z 0-9 - . _ ~ @ : / + % =",
            ));
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
    /// The client may authenticate, and its tokens are valid.
    Active,
    /// The client may not authenticate, and its tokens are inactive while it is disabled.
    Disabled,
}

impl ClientState {
    /// Parses a stored state.
    pub fn parse(text: &str) -> Result<Self, Malformed> {
        match text {
            "active" => Ok(Self::Active),
            "disabled" => Ok(Self::Disabled),
            _ => Err(Malformed("a client is active or disabled")),
        }
    }

    /// The state as stored and displayed.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Disabled => "disabled",
        }
    }
}

/// OAuth grant type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum GrantType {
    /// The client-credentials grant (RFC 6749, section 4.4).
    ClientCredentials,
}

impl GrantType {
    /// Parses a grant type by its registered name, which is case-sensitive.
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

/// Lifetime of a client's tokens: 1 to 86,400 seconds.
///
/// Because of the upper bound, a partition of the token table can be dropped by its age alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct TokenLifetime(u32);

impl TokenLifetime {
    /// One hour: the default for a client registered without a lifetime.
    pub const DEFAULT: Self = Self(3_600);
    /// One day.
    pub const MAX: Self = Self(86_400);

    /// 15 minutes: the maximum for tokens for administration, and the default for them.
    pub const OF_ADMINISTRATORS: Self = Self(900);

    /// A lifetime of `seconds`, which must be within 1 to 86,400.
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
    /// Immutable internal id.
    pub key: ClientKey,
    /// Public id, with which the client authenticates.
    pub client_id: ClientId,
    /// Display name, at most [`MAX_NAME_LENGTH`] bytes.
    pub name: String,
    /// Whether the client may act.
    pub state: ClientState,
    /// Grants that the client may use; empty for a resource server that only introspects.
    pub grants: BTreeSet<GrantType>,
    /// Scopes that its tokens may have.
    pub scopes: BTreeSet<Scope>,
    /// Scopes of a token requested without scopes; a subset of `scopes`.
    pub default_scopes: BTreeSet<Scope>,
    /// Audiences that its tokens may be for.
    pub audiences: BTreeSet<Audience>,
    /// Audience of a token requested without one; a member of `audiences`. `None` stands for the
    /// only audience, if there is just one.
    pub default_audience: Option<Audience>,
    /// Whether one token may be for several audiences, if the request names them.
    pub several_audiences: bool,
    /// Audiences that the client serves: it may introspect tokens for them.
    pub serves: BTreeSet<Audience>,
    /// Lifetime of its tokens.
    pub token_lifetime: TokenLifetime,
    /// Its own limits on issuing tokens.
    pub quota: ClientQuota,
    /// Tokens issued before this moment are inactive.
    pub not_before: Option<Timestamp>,
    /// Time of registration.
    pub created_at: Timestamp,
    /// Version of the row, which increases with every change.
    pub version: i64,
}

impl Client {
    /// Whether each request for a token must name an audience: there are several and no default.
    #[must_use]
    pub fn must_name_audience(&self) -> bool {
        self.default_audience.is_none() && self.audiences.len() > 1
    }
}

/// A client for tests: it is active and may do nothing.
#[cfg(test)]
pub(crate) fn client_for_tests() -> Client {
    Client {
        key: ClientKey(Uuid::nil()),
        client_id: ClientId("orders".to_owned()),
        name: String::new(),
        state: ClientState::Active,
        grants: BTreeSet::new(),
        scopes: BTreeSet::new(),
        default_scopes: BTreeSet::new(),
        audiences: BTreeSet::new(),
        default_audience: None,
        several_audiences: false,
        serves: BTreeSet::new(),
        token_lifetime: TokenLifetime::DEFAULT,
        quota: ClientQuota::default(),
        not_before: None,
        created_at: Timestamp::from_unix_micros(0),
        version: 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_client_id_has_nothing_that_a_shell_or_a_terminal_obeys(text in any::<String>()) {
            if ClientId::parse(&text).is_ok() {
                prop_assert!(!text.is_empty() && text.len() <= 128);
                prop_assert!(text.bytes().all(|byte| byte.is_ascii_graphic()));
                let is_obeyed = |c| "\"'`\\$;&|<>(){}[]*?!#^,".contains(c);
                prop_assert!(!text.contains(is_obeyed));
            }
        }
    }

    #[test]
    fn addresses_and_names_of_other_systems_are_client_ids() {
        for text in [
            "orders",
            "billing@example.com",
            "https://shop.example.com:8443/api/v1",
            "urn:example:orders:1",
            "a+b%20c=",
        ] {
            assert_eq!(ClientId::parse(text).unwrap().as_str(), text);
        }
        for text in ["", "a b", "a\"b", "https://example.com/?a=b", "a,b", "\u{e9}", "a\n"] {
            ClientId::parse(text).unwrap_err();
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
