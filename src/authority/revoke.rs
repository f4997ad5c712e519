//! End a token before its time (RFC 7009).

use super::{AuthenticatedClient, Authority};
use crate::domain::{Actor, Clock, Error, TokenText};

impl Authority {
    /// Ends `token`, if it is the caller's and still lives. A token that is unknown or dead
    /// already is a success: what was asked for is the case (section 2.2).
    ///
    /// # Errors
    /// `InvalidRequest` for the token of another client, which stays active (section 2.1), and
    /// what the store says: success is never claimed before it is durable.
    pub async fn revoke(
        &self,
        caller: &AuthenticatedClient,
        token: &TokenText,
    ) -> Result<(), Error> {
        // 1. A text that was never made here is not worth a query.
        if !token.has_tag_of(&self.tag_key) {
            return Ok(());
        }

        // 2. Look it up. Who holds only the id and not the token learns nothing and ends nothing.
        //    One that is gone may have gone just now, with its client: others may not have heard.
        let Some(found) = self.cache.find_token(token.id()).await? else {
            return self.cache.settle().await;
        };
        let now = self.clock.now();
        if !found.token.digest.matches(&token.digest()) || found.token.expires_at <= now {
            return Ok(());
        }

        // 3. Only its owner may end it.
        if found.client.key != caller.client.key {
            return Err(Error::InvalidRequest("the token was issued to another client"));
        }

        // 4. Mark it, durably, for as long as it would have lived.
        let actor = Actor::client(&caller.client.client_id);
        self.cache.revoke(found.token.id, now, found.token.expires_at, &actor).await
    }
}
