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
    /// Its scopes and audiences, as far as its client still has them. `None` if all scopes or all
    /// audiences of the token were taken from the client.
    pub granted: Option<Arc<Granted>>,
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
    /// disabled client, nothing left of what was granted, both `not_before`. There is no leeway for
    /// clock skew: a caller whose clock differs must allow for that itself.
    #[must_use]
    pub fn is_alive(&self, now: Timestamp) -> bool {
        let was_issued_since =
            |not_before: Option<Timestamp>| not_before.is_none_or(|from| self.issued_at >= from);
        now < self.expires_at
            && !self.revoked
            && !self.credential_leaked
            && !self.superseded
            && self.client.state == ClientState::Active
            && self.granted.is_some()
            && was_issued_since(self.client.not_before)
            && was_issued_since(self.not_before)
    }

    /// What `caller` may see of the token: everything if it is the caller's own, otherwise only
    /// the audiences that the caller serves. `None` if it may not see the token.
    #[must_use]
    pub fn seen_by(&self, caller: &Client) -> Option<Arc<Granted>> {
        let granted = self.granted.as_ref()?;
        if caller.key == self.client.key {
            return Some(Arc::clone(granted));
        }
        granted.seen_from(&caller.serves)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Audience, ClientId, ClientKey, ClientQuota, Scope, TokenLifetime};
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
                default_audience: None,
                several_audiences: false,
                serves: BTreeSet::new(),
                token_lifetime: TokenLifetime::DEFAULT,
                quota: ClientQuota::default(),
                not_before: None,
                created_at: at(0),
                version: 1,
            }),
            granted: Some(Arc::default()),
            issued_at: at(issued),
            expires_at: at(expires),
            revoked: false,
            credential_leaked: false,
            superseded: false,
            not_before: None,
        }
    }

    /// The names whose bits are set.
    fn names(bits: u8) -> impl Iterator<Item = String> {
        (0..8).filter(move |bit| bits >> bit & 1 == 1).map(|bit| bit.to_string())
    }

    fn scopes(bits: u8) -> BTreeSet<Scope> {
        Scope::parse_set(names(bits)).unwrap()
    }

    fn audiences(bits: u8) -> BTreeSet<Audience> {
        Audience::parse_set(names(bits)).unwrap()
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
            is_stripped: bool,
            client_from in proptest::option::of(40..60_i64),
            global_from in proptest::option::of(40..60_i64),
        ) {
            let mut token = facts(expires, 50);
            token.revoked = revoked;
            token.credential_leaked = leaked;
            token.superseded = superseded;
            if is_stripped {
                token.granted = None;
            }
            let client = Arc::make_mut(&mut token.client);
            client.not_before = client_from.map(at);
            token.not_before = global_from.map(at);
            if disabled {
                client.state = ClientState::Disabled;
            }
            let expected = expires > 100 && !revoked && !leaked && !superseded && !disabled
                && !is_stripped
                && client_from.is_none_or(|from| from <= 50)
                && global_from.is_none_or(|from| from <= 50);
            prop_assert_eq!(token.is_alive(at(100)), expected);
        }

        /// Of what a token was granted its client may have lost some, and a caller may serve some.
        #[test]
        fn a_token_keeps_what_its_client_has_and_shows_a_server_its_own_audiences(
            granted in (0..8_u8, 0..8_u8),
            kept in (0..8_u8, 0..8_u8),
            served in 0..8_u8,
        ) {
            let mut token = facts(100, 50);
            let mut caller = (*token.client).clone();
            caller.key = ClientKey(Uuid::from_u128(3));
            caller.serves = audiences(served);
            let client = Arc::make_mut(&mut token.client);
            (client.scopes, client.audiences) = (scopes(kept.0), audiences(kept.1));
            let of = |(of_scopes, of_audiences)| Granted {
                scopes: scopes(of_scopes),
                audiences: audiences(of_audiences),
            };
            let issued = Arc::new(of(granted));
            token.granted = issued.left_to(&token.client);

            let left = (granted.0 & kept.0, granted.1 & kept.1);
            let has_lost_all =
                (granted.0 != 0 && left.0 == 0) || (granted.1 != 0 && left.1 == 0);
            prop_assert_eq!(token.is_alive(at(90)), !has_lost_all);
            let seen = token.seen_by(&token.client);
            let expected = (!has_lost_all).then(|| of(left));
            prop_assert_eq!(seen.as_deref(), expected.as_ref());
            // Nothing was taken, so nothing is copied.
            if left == granted {
                prop_assert!(seen.is_some_and(|seen| Arc::ptr_eq(&seen, &issued)));
            }
            let own = left.1 & served;
            let expected = (!has_lost_all && own != 0).then(|| of((left.0, own)));
            let seen = token.seen_by(&caller);
            prop_assert_eq!(seen.as_deref(), expected.as_ref());
        }
    }
}
