//! Rows on their way to domain values, in the types that both databases can give.
//!
//! What is stored was checked when it was written, and operators edit it by hand all the same. So
//! it is parsed again here: a row that cannot be read is a fault of its own client and no other.

use std::sync::Arc;

use uuid::Uuid;

use super::Change;
use crate::domain::{
    AccessToken, Audience, AuditHash, Client, ClientId, ClientKey, ClientState, Error, GrantType,
    Granted, Malformed, Scope, SecretHash, SecretId, StoredSecret, Timestamp, TokenDigest, TokenId,
    TokenLifetime,
};

/// A row of `client`.
pub(super) struct ClientRow {
    pub(super) id: Uuid,
    pub(super) client_id: String,
    pub(super) name: String,
    pub(super) state: String,
    pub(super) grant_types: Vec<String>,
    pub(super) scopes: Vec<String>,
    pub(super) default_scopes: Vec<String>,
    pub(super) audiences: Vec<String>,
    pub(super) serves: Vec<String>,
    pub(super) token_lifetime_seconds: i64,
    pub(super) not_before: Option<Timestamp>,
    pub(super) created_at: Timestamp,
    pub(super) version: i64,
}

impl ClientRow {
    pub(super) fn read(self) -> Result<Client, Error> {
        let key = ClientKey(self.id);
        self.parse().map_err(|malformed| unreadable("client", key.0, malformed))
    }

    fn parse(self) -> Result<Client, Malformed> {
        let lifetime = u32::try_from(self.token_lifetime_seconds).unwrap_or(0);
        let grants: Result<_, _> =
            self.grant_types.iter().map(|grant| GrantType::parse(grant)).collect();
        Ok(Client {
            key: ClientKey(self.id),
            client_id: ClientId::parse(&self.client_id)?,
            name: self.name,
            state: ClientState::parse(&self.state)?,
            grants: grants?,
            scopes: Scope::parse_set(self.scopes)?,
            default_scopes: Scope::parse_set(self.default_scopes)?,
            audiences: Audience::parse_set(self.audiences)?,
            serves: Audience::parse_set(self.serves)?,
            token_lifetime: TokenLifetime::from_seconds(lifetime)?,
            not_before: self.not_before,
            created_at: self.created_at,
            version: self.version,
        })
    }
}

/// A row of `client_secret`.
pub(super) struct SecretRow {
    pub(super) id: Uuid,
    pub(super) client: Uuid,
    pub(super) hash: String,
    pub(super) label: String,
    pub(super) created_at: Timestamp,
    pub(super) expires_at: Option<Timestamp>,
    pub(super) retired_at: Option<Timestamp>,
    pub(super) burnt_at: Option<Timestamp>,
}

impl SecretRow {
    pub(super) fn read(self) -> StoredSecret {
        StoredSecret {
            id: SecretId(self.id),
            client: ClientKey(self.client),
            hash: SecretHash::from_stored(self.hash),
            label: self.label,
            created_at: self.created_at,
            expires_at: self.expires_at,
            retired_at: self.retired_at,
            burnt_at: self.burnt_at,
        }
    }
}

/// A row of `access_token`.
pub(super) struct TokenRow {
    pub(super) id: Uuid,
    pub(super) digest: Vec<u8>,
    pub(super) client: Uuid,
    pub(super) secret: Uuid,
    pub(super) scopes: Vec<String>,
    pub(super) audiences: Vec<String>,
    pub(super) issued_at: Timestamp,
    pub(super) expires_at: Timestamp,
}

impl TokenRow {
    pub(super) fn read(self) -> Result<AccessToken, Error> {
        let id = self.id;
        self.parse().map_err(|malformed| unreadable("access_token", id, malformed))
    }

    fn parse(self) -> Result<AccessToken, Malformed> {
        let digest = self.digest.try_into().map_err(|_| Malformed("a digest has 32 bytes"))?;
        Ok(AccessToken {
            id: TokenId(self.id),
            digest: TokenDigest::from_bytes(digest),
            client: ClientKey(self.client),
            secret: SecretId(self.secret),
            granted: Arc::new(Granted {
                scopes: Scope::parse_set(self.scopes)?,
                audiences: Audience::parse_set(self.audiences)?,
            }),
            issued_at: self.issued_at,
            expires_at: self.expires_at,
        })
    }
}

impl Change {
    /// Reads a row of `change`.
    pub(super) fn read(kind: &str, subject: Option<Uuid>) -> Self {
        match (kind, subject) {
            ("client", Some(id)) => Self::Client(ClientKey(id)),
            ("token", Some(id)) => Self::Token(TokenId(id)),
            // A kind that a later version writes may mean anything.
            _ => Self::Everything,
        }
    }
}

/// The hash of a row of the audit trail; none if it waits for one.
pub(super) fn audit_hash(bytes: &[u8]) -> Option<AuditHash> {
    bytes.try_into().ok().map(AuditHash)
}

/// The one row of `installation` is gone, and with it the moment before which tokens are dead: no
/// token can be told to be alive.
pub(super) fn no_installation() -> Error {
    Error::internal("the table installation has no row: restore it from a backup")
}

fn unreadable(table: &'static str, id: Uuid, malformed: Malformed) -> Error {
    Error::internal(format!("the row {id} of {table} cannot be read: {malformed}"))
}

/// The members of a set as texts, for the databases.
pub(super) fn texts<'a, T: ToString + 'a>(set: impl IntoIterator<Item = &'a T>) -> Vec<String> {
    set.into_iter().map(ToString::to_string).collect()
}

/// The members of a set as one text with a space between them: no member contains one.
pub(super) fn joined<'a, T: ToString + 'a>(set: impl IntoIterator<Item = &'a T>) -> String {
    texts(set).join(" ")
}
