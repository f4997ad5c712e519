//! Revocation: ending a token before it expires (RFC 7009).

use super::{AuthenticatedClient, Authority};
use crate::domain::{Actor, Clock, Error, TokenText};

impl Authority {
    /// Revokes `token` if it belongs to the caller and has not expired. An unknown or expired token
    /// is a success: the requested state already holds (section 2.2).
    ///
    /// # Errors
    /// `InvalidRequest` for a token of another client, which stays active (section 2.1); otherwise
    /// errors of the store. Success is never reported before the revocation is durable.
    pub async fn revoke(
        &self,
        caller: &AuthenticatedClient,
        token: &TokenText,
    ) -> Result<(), Error> {
        // 1. A text with a wrong tag is not a token of ours and needs no query.
        if !token.has_tag_of(&*self.cache.tag_keys().await?) {
            return Ok(());
        }

        // 2. Look it up. A caller that has only the id and not the token learns nothing and revokes
        //    nothing. A token that is not found may just have been deleted with its client, so wait
        //    until every node has applied that change.
        let Some(found) = self.cache.find_token(token.id()).await? else {
            return self.cache.settle().await;
        };
        let now = self.clock.now();
        if !found.digest.matches(&token.digest()) || found.facts.expires_at <= now {
            return Ok(());
        }

        // 3. Only the client that the token was issued to may revoke it.
        if found.facts.client.key != caller.client.key {
            return Err(Error::InvalidRequest("the token was issued to another client"));
        }

        // 4. Mark it revoked, durably, for as long as it would have lived.
        let actor = Actor::client(&caller.client.client_id);
        self.cache.revoke(found.facts.id, now, found.facts.expires_at, &actor).await
    }
}
