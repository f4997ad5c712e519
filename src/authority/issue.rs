//! Issuing an access token.

use std::{sync::Arc, time::Duration};

use super::{AuthenticatedClient, Authority};
use crate::domain::{
    AccessToken, ClientState, Clock, Error, Granted, Lane, QuotaState, TokenLifetime, TokenRequest,
    TokenText, includes_administration,
};

/// Why a node refuses a token for administration.
const NOT_HERE: &str = "this node issues no tokens for administration, because its role in the \
                        database may not change clients: ask a node that serves administrators";

/// A token that has been recorded durably.
#[derive(Debug)]
pub struct IssuedToken {
    /// The token in clear, for the one response that carries it.
    pub token: TokenText,
    /// Remaining lifetime, rounded to the nearest second.
    pub expires_in: Duration,
    /// Scopes and audiences of the token.
    pub granted: Arc<Granted>,
    /// State of the client's quota; `None` if quotas are off.
    pub quota: Option<QuotaState>,
}

impl Authority {
    /// Issues an access token to a caller (RFC 6749, section 4.4).
    ///
    /// # Errors
    /// `UnauthorizedClient`, `InvalidScope`, `InvalidTarget`; `QuotaExceeded`; `InvalidClient` if
    /// the client or its secret was taken out of use meanwhile; otherwise errors of the store.
    /// After `Unavailable` a token may have been recorded that no caller received: it expires
    /// unused.
    pub async fn issue(
        &self,
        caller: &AuthenticatedClient,
        request: TokenRequest,
    ) -> Result<IssuedToken, Error> {
        let client = &caller.client;

        // 1. Check that the client may use the grant, and determine scopes and audiences, within
        //    those registered for the client.
        let granted = Arc::new(client.grant(request)?);

        // 2. Take the token from the client's quota, before anything is made for it.
        let quota = self.quotas.take(client, self.clock.uptime())?;

        // 3. A token for administration is for a node whose role may change clients. The database
        //    would refuse it to others, together with the tokens of the same batch.
        let mut lifetime = client.token_lifetime;
        if includes_administration(&granted.audiences) {
            if !self.cache.may_record_for_administration().await? {
                return Err(Error::InvalidTarget(NOT_HERE.into()));
            }
            lifetime = lifetime.min(TokenLifetime::OF_ADMINISTRATORS);
        }

        // 4. Mint the token. Its lifetime is exact to the microsecond, so it lives neither longer
        //    nor shorter than registered. Truncation to seconds takes the same fraction off `iat`
        //    and `exp`.
        let now = self.clock.now();
        let keys = self.cache.tag_keys().await?;
        let token = TokenText::mint(now, self.random.as_ref(), keys.current())?;
        let recorded = AccessToken {
            id: token.id(),
            digest: token.digest(),
            client: client.key,
            credential: caller.credential,
            granted: Arc::clone(&granted),
            issued_at: now,
            expires_at: now.plus(lifetime.duration()),
        };

        // 5. Record it durably, if the client and its secret are still in use; only then does the
        //    token exist. The client may have been disabled while this request waited for its hash.
        let expires_at = recorded.expires_at;
        let is_recorded = self.cache.record(recorded).await?;

        // 6. Check that the client has not changed since it was read. A change that is acknowledged
        //    later is acknowledged after the token was recorded, and so applies to it.
        if !is_recorded || !self.cache.is_current(caller.watch.as_ref()) {
            self.check_again(caller, is_recorded).await?;
        }

        // 7. Return the lifetime that remains now, rounded to the nearest second. Rounding down
        //    would take a second off every token, because the write took a few milliseconds.
        let left = expires_at.since(self.clock.now());
        let expires_in = Duration::from_secs((left + Duration::from_millis(500)).as_secs());
        Ok(IssuedToken { token, expires_in, granted, quota })
    }

    /// Reads the caller from the database again: `InvalidClient` if it or its secret is no longer
    /// in use, `Unavailable` if it changed in another way or the token was not recorded. A token
    /// that was recorded and is not returned expires unused.
    async fn check_again(
        &self,
        caller: &AuthenticatedClient,
        is_recorded: bool,
    ) -> Result<(), Error> {
        let (client_id, credential) = (&caller.client.client_id, caller.credential);
        let found = self.cache.read_client(Lane::Issue, client_id, credential).await?;
        let found = found.filter(|found| {
            let credential = found.credential.as_ref();
            found.client.state == ClientState::Active
                && credential.is_some_and(|credential| credential.is_live(self.clock.now()))
        });
        let Some(found) = found else { return Err(Error::InvalidClient) };
        if is_recorded && found.client == caller.client {
            return Ok(());
        }
        Err(Error::unavailable("the client was changed while a token was issued to it"))
    }
}
