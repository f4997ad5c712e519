//! Say what a token is worth (RFC 7662).

use std::sync::Arc;

use super::{AuthenticatedClient, Authority};
use crate::{
    domain::{Client, ClientState, Clock, Error, Granted, Timestamp, TokenId, TokenText},
    store::FoundToken,
};

/// What a token is worth. Why one is inactive is nobody's business (section 2.2).
#[derive(Debug)]
pub enum Introspection {
    /// It is not to be honoured, or not this caller's to know of.
    Inactive,
    /// It can be honoured now.
    Active(ActiveToken),
}

/// What an active token carries.
#[derive(Debug)]
pub struct ActiveToken {
    /// Its id, the `jti`.
    pub id: TokenId,
    /// The client that it was issued to; also its subject.
    pub client: Arc<Client>,
    /// What it is good for.
    pub granted: Arc<Granted>,
    /// Who issued it, the `iss`.
    pub issuer: Arc<str>,
    /// When it was issued.
    pub issued_at: Timestamp,
    /// From when it is dead.
    pub expires_at: Timestamp,
}

impl Authority {
    /// Says what `token` is worth to `caller`; none stands for a text that no token ever had.
    ///
    /// # Errors
    /// What the store says: a fault is an error and never "inactive".
    pub async fn introspect(
        &self,
        caller: &AuthenticatedClient,
        token: Option<&TokenText>,
    ) -> Result<Introspection, Error> {
        let outcome = self.worth(caller, token).await?;
        match outcome {
            Introspection::Active(_) => self.active.add_one(),
            Introspection::Inactive => self.inactive.add_one(),
        }
        Ok(outcome)
    }

    async fn worth(
        &self,
        caller: &AuthenticatedClient,
        token: Option<&TokenText>,
    ) -> Result<Introspection, Error> {
        // 1. A text that was never made here is not worth a query.
        let Some(token) = token.filter(|token| token.has_tag_of(&self.tag_key)) else {
            return Ok(Introspection::Inactive);
        };

        // 2. Look it up.
        let Some(found) = self.cache.find_token(token.id()).await? else {
            return Ok(Introspection::Inactive);
        };

        // 3. Inactive on every doubt. All of these must hold: none stands in for another.
        let worth = found.token.digest.matches(&token.digest())
            && is_alive(&found, self.clock.now())
            && may_see(&caller.client, &found);
        if !worth {
            return Ok(Introspection::Inactive);
        }

        // 4. Answer.
        Ok(Introspection::Active(ActiveToken {
            id: found.token.id,
            client: found.client,
            granted: found.token.granted,
            issuer: Arc::clone(&self.issuer),
            issued_at: found.token.issued_at,
            expires_at: found.token.expires_at,
        }))
    }
}

/// Whether nothing ended the token. There is no leeway: a clock that differs is the caller's.
fn is_alive(found: &FoundToken, now: Timestamp) -> bool {
    let issued_at = found.token.issued_at;
    let outlived = |not_before: Option<Timestamp>| not_before.is_none_or(|from| issued_at >= from);
    now < found.token.expires_at
        && !found.revoked
        && !found.secret_leaked
        && !found.superseded
        && found.client.state == ClientState::Active
        && outlived(found.client.not_before)
        && outlived(found.not_before)
}

/// A caller sees the tokens for the audiences that it serves, and its own.
fn may_see(caller: &Client, found: &FoundToken) -> bool {
    caller.key == found.client.key || !caller.serves.is_disjoint(&found.token.granted.audiences)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{AccessToken, ClientId, ClientKey, SecretId, TokenDigest, TokenLifetime};
    use proptest::prelude::*;
    use std::collections::BTreeSet;
    use uuid::Uuid;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_unix_micros(seconds * 1_000_000)
    }

    fn found(expires: i64, issued: i64) -> FoundToken {
        let key = ClientKey(Uuid::from_u128(1));
        FoundToken {
            token: AccessToken {
                id: TokenId(Uuid::from_u128(2)),
                digest: TokenDigest::from_bytes([0; 32]),
                client: key,
                secret: SecretId(Uuid::from_u128(3)),
                granted: Arc::default(),
                issued_at: at(issued),
                expires_at: at(expires),
            },
            client: Arc::new(Client {
                key,
                client_id: ClientId::parse("orders").unwrap(),
                name: String::new(),
                state: ClientState::Active,
                grants: BTreeSet::new(),
                scopes: BTreeSet::new(),
                default_scopes: BTreeSet::new(),
                audiences: BTreeSet::new(),
                serves: BTreeSet::new(),
                token_lifetime: TokenLifetime::DEFAULT,
                not_before: None,
                created_at: at(0),
                version: 1,
            }),
            revoked: false,
            secret_leaked: false,
            superseded: false,
            not_before: None,
        }
    }

    proptest! {
        /// No rule hides another: a token lives exactly if each of them lets it.
        #[test]
        fn a_token_lives_only_if_every_rule_lets_it(
            expires in 90..110_i64,
            disabled: bool,
            revoked: bool,
            burnt: bool,
            superseded: bool,
            client_from in proptest::option::of(40..60_i64),
            global_from in proptest::option::of(40..60_i64),
        ) {
            let mut token = found(expires, 50);
            token.revoked = revoked;
            token.secret_leaked = burnt;
            token.superseded = superseded;
            let client = Arc::make_mut(&mut token.client);
            client.not_before = client_from.map(at);
            token.not_before = global_from.map(at);
            if disabled {
                client.state = ClientState::Disabled;
            }
            let expected = expires > 100 && !revoked && !burnt && !superseded && !disabled
                && client_from.is_none_or(|from| from <= 50)
                && global_from.is_none_or(|from| from <= 50);
            prop_assert_eq!(is_alive(&token, at(100)), expected);
        }
    }
}
