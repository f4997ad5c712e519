//! Introspection: whether a token is active, and its content (RFC 7662).

use std::sync::Arc;

use super::{AuthenticatedClient, Authority};
use crate::domain::{Client, Clock, Error, Granted, Timestamp, TokenFacts, TokenId, TokenText};

/// Whether a token is active. The reason why one is inactive is never disclosed (section 2.2).
#[derive(Debug)]
pub enum Introspection {
    /// The token must not be honoured, or the caller may not learn about it.
    Inactive,
    /// The token can be honoured now.
    Active(ActiveToken),
}

/// Content of an active token.
#[derive(Debug)]
pub struct ActiveToken {
    /// Token id (`jti`).
    pub id: TokenId,
    /// Client that the token was issued to; also its subject (`sub`).
    pub client: Arc<Client>,
    /// Scopes and audiences of the token, as far as its client still has them and the caller may
    /// see them.
    pub granted: Arc<Granted>,
    /// Issuer identifier (`iss`).
    pub issuer: Arc<str>,
    /// Time of issue (`iat`).
    pub issued_at: Timestamp,
    /// Expiry (`exp`): the token is inactive from this moment on.
    pub expires_at: Timestamp,
}

impl Authority {
    /// Tells `caller` whether `token` is active. `None` stands for a text that does not have the
    /// form of a token; it is inactive.
    ///
    /// # Errors
    /// Errors of the store: a failed look-up is an error and never "inactive".
    pub async fn introspect(
        &self,
        caller: &AuthenticatedClient,
        token: Option<&TokenText>,
    ) -> Result<Introspection, Error> {
        let outcome = self.evaluate(caller, token).await?;
        match outcome {
            Introspection::Active(_) => self.active.add_one(),
            Introspection::Inactive => self.inactive.add_one(),
        }
        Ok(outcome)
    }

    async fn evaluate(
        &self,
        caller: &AuthenticatedClient,
        token: Option<&TokenText>,
    ) -> Result<Introspection, Error> {
        // 1. A text with a wrong tag is inactive without a query.
        let Some(token) = token else { return Ok(Introspection::Inactive) };
        if !token.has_tag_of(&*self.cache.tag_keys().await?) {
            return Ok(Introspection::Inactive);
        }

        // 2. Look it up.
        let Some(found) = self.cache.find_token(token.id()).await? else {
            return Ok(Introspection::Inactive);
        };

        // 3. The token is inactive unless all of these hold. None of them implies another.
        let is_alive =
            found.digest.matches(&token.digest()) && found.facts.is_alive(self.clock.now());
        let seen = found.facts.seen_by(&caller.client);
        let Some(granted) = seen.filter(|_| is_alive) else {
            return Ok(Introspection::Inactive);
        };

        // 4. Answer.
        let TokenFacts { id, client, issued_at, expires_at, .. } = found.facts;
        let issuer = Arc::clone(&self.issuer);
        Ok(Introspection::Active(ActiveToken {
            id,
            client,
            granted,
            issuer,
            issued_at,
            expires_at,
        }))
    }
}
