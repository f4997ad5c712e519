//! Who is calling (RFC 6749, section 2.3).

use std::sync::Arc;

use super::Authority;
use crate::{
    cache::Watch,
    credentials::Credentials,
    domain::{Client, ClientId, ClientState, Clock, Error, Lane, SecretId},
    request::RequestContext,
    store::FoundClient,
};

/// A caller that has proved who it is. Only [`Authority::authenticate`] makes one, so a use case
/// that takes it cannot be reached without.
#[derive(Debug)]
pub struct AuthenticatedClient {
    pub(super) client: Arc<Client>,
    pub(super) secret: SecretId,
    /// Tells whether the client has changed since.
    pub(super) watch: Option<Watch>,
}

impl AuthenticatedClient {
    /// Who it is.
    #[must_use]
    pub fn client_id(&self) -> &ClientId {
        &self.client.client_id
    }
}

impl Authority {
    /// Authenticates a client.
    ///
    /// # Errors
    /// `InvalidClient` for every way of not being authenticated; `TooManyRequests` for a caller
    /// that failed too often lately, or if there is no place or no time to hash; and what the
    /// store says.
    pub async fn authenticate(
        &self,
        credentials: Credentials,
        lane: Lane,
        context: &RequestContext,
    ) -> Result<AuthenticatedClient, Error> {
        let source = context.source;
        let secret_id = credentials.secret.id();

        // 1. A text that was never made here is turned away before any query and any hash. That
        //    depends on the text alone, so its quickness says nothing about the client.
        if !credentials.secret.has_tag_of(&self.tag_key) {
            return Err(Error::InvalidClient);
        }

        // 2. What was not verified lately needs a hash: who failed too often, or would find no
        //    place in the queue, is turned away before any query, be there such a client or not. A
        //    client that was verified goes on, also beside a guesser at its own address.
        let now = self.clock.now();
        let client_id = credentials.client_id.clone();
        let presented = self.fingerprint_key.of(&credentials);
        let verified = self.verified.matched(&presented, now);
        if verified.is_none() {
            self.lockout.check(&client_id, source, now)?;
            self.hash_pool.check_place(&presented, &client_id, lane, context)?;
        }

        // 3. Find the client and the one secret that the text names: one statement.
        let found = self.cache.find_client(lane, &client_id, secret_id).await?;
        let (client, stored, watch) = match found {
            Some((FoundClient { client, secret }, watch)) => (Some(client), secret, watch),
            None => (None, None, None),
        };
        // One that may not act has nothing to compare with, as one that is not there.
        let is_active = client.as_ref().is_some_and(|client| client.state == ClientState::Active);
        let hash = stored
            .filter(|stored| is_active && stored.is_live(now))
            .map(|stored| stored.hash.clone());

        // 4. What matched this very hash lately is not hashed again. A client that may not act pays
        //    as before: a quick refusal would tell its state to whoever holds its secret.
        if let Some(client) = client.as_ref().filter(|_| verified.is_some() && verified == hash) {
            let client = Arc::clone(client);
            return Ok(AuthenticatedClient { client, secret: secret_id, watch });
        }

        // 5. Compute exactly one hash. Where there is none to compare with, it is one of equal
        //    cost whose outcome does not count.
        let matches =
            self.hash_pool.verify(presented, credentials, hash.clone(), lane, context).await?;

        // 6. Only now look at what would have refused without a hash: everybody paid the same.
        match (client, hash) {
            (Some(client), Some(hash)) if matches => {
                self.verified.insert(presented, hash, now);
                self.lockout.forget(&client_id, source);
                Ok(AuthenticatedClient { client, secret: secret_id, watch })
            }
            _ => {
                self.lockout.record(&client_id, source, now);
                Err(Error::InvalidClient)
            }
        }
    }
}
