//! What a new client and a new secret have.

use std::collections::BTreeSet;

use crate::domain::{
    About, Audience, ClientId, ClientQuota, ClientRecord, GrantType, Scope, Timestamp,
    TokenLifetime,
};

/// Properties of a client to be created.
#[derive(Debug)]
pub struct NewClient {
    /// Public id; a random UUID if `None`.
    pub client_id: Option<ClientId>,
    /// Display name, as [`parse_name`](crate::domain::parse_name) accepts it.
    pub name: String,
    /// Grants that the client may use.
    pub grants: BTreeSet<GrantType>,
    /// Scopes that its tokens may have.
    pub scopes: BTreeSet<Scope>,
    /// Scopes of a token requested without scopes, a subset of `scopes`; all of them if `None`.
    pub default_scopes: Option<BTreeSet<Scope>>,
    /// Audiences that its tokens may be for.
    pub audiences: BTreeSet<Audience>,
    /// Audience of a token requested without one, a member of `audiences`.
    pub default_audience: Option<Audience>,
    /// Whether one token may be for several audiences.
    pub several_audiences: bool,
    /// Audiences that the client serves: it may introspect tokens for them.
    pub serves: BTreeSet<Audience>,
    /// Lifetime of its tokens.
    pub token_lifetime: TokenLifetime,
    /// Its own limits on issuing tokens.
    pub quota: ClientQuota,
    /// What operators note of it.
    pub about: About,
}

/// The creation of a client like this one.
impl From<ClientRecord> for NewClient {
    fn from(ClientRecord { client, about }: ClientRecord) -> Self {
        Self {
            client_id: Some(client.client_id),
            name: client.name,
            grants: client.grants,
            scopes: client.scopes,
            default_scopes: Some(client.default_scopes),
            audiences: client.audiences,
            default_audience: client.default_audience,
            several_audiences: client.several_audiences,
            serves: client.serves,
            token_lifetime: client.token_lifetime,
            quota: client.quota,
            about,
        }
    }
}

/// Properties of a secret to be created.
#[derive(Debug, Default)]
pub struct NewSecret {
    /// Label for operators, as [`parse_label`](crate::domain::parse_label) accepts it.
    pub label: String,
    /// Expiry, from which on the secret is refused; `None` if it does not expire.
    pub expires_at: Option<Timestamp>,
}
