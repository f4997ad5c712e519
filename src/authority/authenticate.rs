//! Who is calling (RFC 6749, section 2.3).

use super::Authority;
use crate::{
    domain::{Client, ClientId, ClientSecret, ClientState, Error, SecretId},
    store::FoundClient,
};

/// What a caller presents.
#[derive(Debug)]
pub struct Credentials {
    /// The client that it says it is.
    pub client_id: ClientId,
    /// The secret that shall prove it.
    pub secret: ClientSecret,
}

/// A caller that has proved who it is. Only [`Authority::authenticate`] makes one, so a use case
/// that takes it cannot be reached without.
#[derive(Debug)]
pub struct AuthenticatedClient {
    pub(super) client: Client,
    pub(super) secret: SecretId,
}

impl Authority {
    /// Authenticates a client.
    ///
    /// # Errors
    /// `InvalidClient` for every way of not being authenticated, `TooManyRequests` if the hash
    /// queue is full, and what the store says.
    pub async fn authenticate(
        &self,
        credentials: Credentials,
    ) -> Result<AuthenticatedClient, Error> {
        let Credentials { client_id, secret } = credentials;
        let secret_id = secret.id();

        // 1. A text that was never made here is turned away before any query and any hash. That
        //    depends on the text alone, so its quickness says nothing about the client.
        if !secret.has_tag_of(&self.tag_key) {
            return Err(Error::InvalidClient);
        }

        // 2. Find the client and the one secret that the text names: one statement.
        let found = self.store.find_client(&client_id, Some(secret_id)).await?;
        let (client, stored) = match found {
            Some(FoundClient { client, secret }) => (Some(client), secret),
            None => (None, None),
        };

        // 3. Compute exactly one hash. Where there is none to compare with, it is one of equal
        //    cost whose outcome does not count.
        let hash = stored.as_ref().map(|stored| stored.hash.clone());
        let matches = self.hash_pool.verify(secret, hash).await?;

        // 4. Only now look at what would have refused without a hash: everybody paid the same.
        let now = self.clock.now();
        match (client, stored) {
            (Some(client), Some(stored))
                if matches && stored.is_live(now) && client.state == ClientState::Active =>
            {
                Ok(AuthenticatedClient { client, secret: secret_id })
            }
            _ => Err(Error::InvalidClient),
        }
    }
}
