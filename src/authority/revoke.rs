//! Revocation: ending a token before it expires (RFC 7009).

use super::{AuthenticatedClient, Authority};
use crate::domain::{Clock, Error, TokenText};

impl Authority {
    /// Revokes `token` if it belongs to the caller and has not expired. Every other token is a
    /// success without effect: the requested state of an unknown or expired one already holds
    /// (section 2.2), and a refusal would tell the holder of a foreign token that it is active.
    ///
    /// # Errors
    /// Errors of the store. Success is never reported before the revocation is durable.
    pub async fn revoke(
        &self,
        caller: &AuthenticatedClient,
        token: &TokenText,
    ) -> Result<(), Error> {
        // 1. A text with a wrong tag is not a token of ours and needs no query.
        if !token.has_tag_of(&*self.cache.tag_keys().await?) {
            return Ok(());
        }

        // 2. Look it up in the database, because an answer from the cache would be faster and so
        //    tell a live token from an unknown one. A caller that has only the id and not the token
        //    learns nothing and revokes nothing.
        let found = self.cache.read_token(token.id()).await?;
        let now = self.clock.now();
        let own = found.filter(|found| {
            found.digest.matches(&token.digest())
                && found.facts.expires_at > now
                && found.facts.client.key == caller.client.key
        });

        // 3. Without a token to revoke, wait as a revocation does. A token that is not found may
        //    just have been deleted with its client, and a node may still have to apply that.
        let Some(found) = own else { return self.cache.settle().await };

        // 4. Mark it revoked, durably, for as long as it would have lived.
        self.cache.revoke(found.facts.id).await
    }
}
