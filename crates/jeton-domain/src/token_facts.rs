//! The facts about a token that introspection evaluates, apart from the text of the token.
//!
//! They are the same for every token format: today a database row supplies them, and the claims of
//! a signed token could supply them too.

use std::sync::Arc;

use super::{Client, ClientState, Granted, InactiveReason, Timestamp, TokenId};

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

/// The rules that the facts of a token decide, the strongest first.
const RULES: [InactiveReason; 8] = [
    InactiveReason::Expired,
    InactiveReason::Revoked,
    InactiveReason::SecretLeaked,
    InactiveReason::ClientDisabled,
    InactiveReason::TokensRevoked,
    InactiveReason::ClientNotBefore,
    InactiveReason::InstallationNotBefore,
    InactiveReason::Narrowed,
];

impl TokenFacts {
    /// Whether no rule ends the token at `now`. There is no leeway for clock skew: a caller whose
    /// clock differs must allow for that itself.
    #[must_use]
    pub fn is_alive(&self, now: Timestamp) -> bool {
        !RULES.iter().any(|rule| self.is_ended_by(*rule, now))
    }

    /// All rules that end the token at `now`, the strongest first. None if it is alive.
    pub fn inactive_reasons(&self, now: Timestamp) -> impl Iterator<Item = InactiveReason> {
        RULES.into_iter().filter(move |rule| self.is_ended_by(*rule, now))
    }

    /// Whether this rule alone ends the token at `now`.
    fn is_ended_by(&self, rule: InactiveReason, now: Timestamp) -> bool {
        let was_issued_before =
            |not_before: Option<Timestamp>| not_before.is_some_and(|from| self.issued_at < from);
        match rule {
            InactiveReason::Expired => now >= self.expires_at,
            InactiveReason::Revoked => self.revoked,
            InactiveReason::SecretLeaked => self.credential_leaked,
            InactiveReason::ClientDisabled => self.client.state != ClientState::Active,
            InactiveReason::TokensRevoked => self.superseded,
            InactiveReason::ClientNotBefore => was_issued_before(self.client.not_before),
            InactiveReason::InstallationNotBefore => was_issued_before(self.not_before),
            InactiveReason::Narrowed => self.granted.is_none(),
            // Those depend on the text, on the caller, or on a client that is gone.
            InactiveReason::NotOurs
            | InactiveReason::NotFound
            | InactiveReason::TextDiffers
            | InactiveReason::ClientDeleted
            | InactiveReason::NotServed => false,
        }
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
    use crate::{Audience, ClientKey, Scope, client::client_for_tests};
    use proptest::prelude::*;
    use std::collections::BTreeSet;
    use uuid::Uuid;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_unix_micros(seconds * 1_000_000)
    }

    fn facts(expires: i64, issued: i64) -> TokenFacts {
        TokenFacts {
            id: TokenId(Uuid::from_u128(2)),
            client: Arc::new(client_for_tests()),
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
        /// A token is alive exactly if every rule allows it; no rule hides another, and those that
        /// do not are the reasons.
        #[test]
        fn a_token_lives_only_if_every_rule_lets_it_and_the_others_are_the_reasons(
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
            let expected = [
                (InactiveReason::Expired, expires <= 100),
                (InactiveReason::Revoked, revoked),
                (InactiveReason::SecretLeaked, leaked),
                (InactiveReason::ClientDisabled, disabled),
                (InactiveReason::TokensRevoked, superseded),
                (InactiveReason::ClientNotBefore, client_from.is_some_and(|from| from > 50)),
                (InactiveReason::InstallationNotBefore, global_from.is_some_and(|from| from > 50)),
                (InactiveReason::Narrowed, is_stripped),
            ];
            let expected: Vec<_> =
                expected.into_iter().filter(|row| row.1).map(|row| row.0).collect();
            prop_assert!(expected.is_sorted());
            prop_assert_eq!(token.is_alive(at(100)), expected.is_empty());
            prop_assert_eq!(token.inactive_reasons(at(100)).collect::<Vec<_>>(), expected);
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
