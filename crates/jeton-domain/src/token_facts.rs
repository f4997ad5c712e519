//! The facts about a token that introspection evaluates, apart from the text of the token.
//!
//! They are the same for every token format: today a database row supplies them, and the claims of
//! a signed token could supply them too.

use std::sync::Arc;

use super::{Client, ClientState, Granted, Timestamp, TokenId};

/// Everything that decides whether a token is active, and for which callers.
#[derive(Debug, Clone)]
pub struct TokenFacts {
    /// Id of the token, its `jti`.
    pub id: TokenId,
    /// The client that the token was issued to, as it is now.
    pub client: Arc<Client>,
    /// Its scopes and audiences.
    pub granted: Arc<Granted>,
    /// Time of issue.
    pub issued_at: Timestamp,
    /// Expiry, from which on the token is inactive.
    pub expires_at: Timestamp,
    /// Whether this token was revoked.
    pub revoked: bool,
    /// Whether the credential that it was issued with was declared leaked, or is gone.
    pub credential_leaked: bool,
    /// Whether all tokens of its client, or all tokens, were revoked since it was issued.
    pub superseded: bool,
    /// `not_before` of the installation: tokens issued before it are inactive.
    pub not_before: Option<Timestamp>,
}

impl TokenFacts {
    /// Whether no rule ends the token at `now`: expiry, revocation, leaked credential, generation,
    /// disabled client, both `not_before`. There is no leeway for clock skew: a caller whose clock
    /// differs must allow for that itself.
    #[must_use]
    pub fn is_alive(&self, now: Timestamp) -> bool {
        let was_issued_since =
            |not_before: Option<Timestamp>| not_before.is_none_or(|from| self.issued_at >= from);
        now < self.expires_at
            && !self.revoked
            && !self.credential_leaked
            && !self.superseded
            && self.client.state == ClientState::Active
            && was_issued_since(self.client.not_before)
            && was_issued_since(self.not_before)
    }

    /// Whether `caller` may see the token: it is the caller's own, or for an audience that the
    /// caller serves.
    #[must_use]
    pub fn is_visible_to(&self, caller: &Client) -> bool {
        caller.key == self.client.key || !caller.serves.is_disjoint(&self.granted.audiences)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ClientId, ClientKey, ClientQuota, TokenLifetime};
    use proptest::prelude::*;
    use std::collections::BTreeSet;
    use uuid::Uuid;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_unix_micros(seconds * 1_000_000)
    }

    fn facts(expires: i64, issued: i64) -> TokenFacts {
        TokenFacts {
            id: TokenId(Uuid::from_u128(2)),
            client: Arc::new(Client {
                key: ClientKey(Uuid::from_u128(1)),
                client_id: ClientId::parse("orders").unwrap(),
                name: String::new(),
                state: ClientState::Active,
                grants: BTreeSet::new(),
                scopes: BTreeSet::new(),
                default_scopes: BTreeSet::new(),
                audiences: BTreeSet::new(),
                serves: BTreeSet::new(),
                token_lifetime: TokenLifetime::DEFAULT,
                quota: ClientQuota::default(),
                not_before: None,
                created_at: at(0),
                version: 1,
            }),
            granted: Arc::default(),
            issued_at: at(issued),
            expires_at: at(expires),
            revoked: false,
            credential_leaked: false,
            superseded: false,
            not_before: None,
        }
    }

    proptest! {
        /// A token is alive exactly if every rule allows it; no rule hides another.
        #[test]
        fn a_token_lives_only_if_every_rule_lets_it(
            expires in 90..110_i64,
            disabled: bool,
            revoked: bool,
            leaked: bool,
            superseded: bool,
            client_from in proptest::option::of(40..60_i64),
            global_from in proptest::option::of(40..60_i64),
        ) {
            let mut token = facts(expires, 50);
            token.revoked = revoked;
            token.credential_leaked = leaked;
            token.superseded = superseded;
            let client = Arc::make_mut(&mut token.client);
            client.not_before = client_from.map(at);
            token.not_before = global_from.map(at);
            if disabled {
                client.state = ClientState::Disabled;
            }
            let expected = expires > 100 && !revoked && !leaked && !superseded && !disabled
                && client_from.is_none_or(|from| from <= 50)
                && global_from.is_none_or(|from| from <= 50);
            prop_assert_eq!(token.is_alive(at(100)), expected);
        }
    }
}
