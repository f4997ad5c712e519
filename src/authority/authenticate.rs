//! Client authentication (RFC 6749, section 2.3).

use std::sync::Arc;

use super::Authority;
use crate::{
    cache::Watch,
    credentials::{Credentials, SecretCredentials},
    domain::{
        Client, ClientId, ClientState, Clock, CredentialId, Error, Lane, PresentedCredential,
        SecretId, StoredCredential, Timestamp,
    },
    request::RequestContext,
    store::FoundClient,
};

/// Proof that a caller authenticated as this client. Only [`Authority::authenticate`] creates one,
/// so an unauthenticated caller cannot reach a use case that takes it.
#[derive(Debug)]
pub struct AuthenticatedClient {
    pub(super) client: Arc<Client>,
    pub(super) credential: CredentialId,
    /// Reports whether the client has changed since it was read; `None` if it was read without a
    /// lease.
    pub(super) watch: Option<Watch>,
}

impl AuthenticatedClient {
    /// Public name of the client.
    #[must_use]
    pub fn client_id(&self) -> &ClientId {
        &self.client.client_id
    }
}

impl Authority {
    /// Authenticates a client.
    ///
    /// # Errors
    /// `InvalidClient` for every failed authentication; `TooManyRequests` if the client id and
    /// secret are locked out, or if the hash queue has no place or is too slow for the deadline;
    /// otherwise errors of the store and of the hash pool.
    pub async fn authenticate(
        &self,
        credentials: Credentials,
        lane: Lane,
        context: &RequestContext,
    ) -> Result<AuthenticatedClient, Error> {
        let Credentials { client_id, credential } = credentials;
        match credential {
            PresentedCredential::Secret(secret) => {
                self.by_secret(SecretCredentials { client_id, secret }, lane, context).await
            }
            // Boxed like every rare way: the future of a call stays small.
            PresentedCredential::Foreign(secret) => {
                Box::pin(self.by_foreign_secret(client_id, secret, lane, context)).await
            }
        }
    }

    async fn by_secret(
        &self,
        credentials: SecretCredentials,
        lane: Lane,
        context: &RequestContext,
    ) -> Result<AuthenticatedClient, Error> {
        let secret = credentials.secret.id();
        let credential = CredentialId::from(secret);

        // 1. Refuse a secret whose tag is wrong before any query and any hash. The refusal depends
        //    on the text alone, so its speed says nothing about the client.
        if !credentials.secret.has_tag_of(&*self.cache.tag_keys().await?) {
            return Err(Error::InvalidClient);
        }

        // 2. Credentials that were not verified recently need a hash. Refuse those that are locked
        //    out, and those for which the hash queue has no place, before any query and whether or
        //    not the client exists. Failures count for the presented secret, so a guesser does not
        //    lock out a client, even at the same address.
        let now = self.clock.now();
        let client_id = credentials.client_id.clone();
        let presented = self.fingerprint_key.of(&credentials);
        let verified = self.verified.matched(&presented, now);
        let is_suspect = verified.is_none() && self.lockout.is_suspect(secret, now);
        if verified.is_none() {
            self.check_failures(&client_id, secret, is_suspect, context, now)?;
            self.hash_pool.check_place(&presented, secret, is_suspect, lane, context)?;
        }

        // 3. Find the client and the one secret that the text names, in one statement.
        let found = self.cache.find_client(lane, &client_id, credential).await?;
        let (client, stored, watch) = match found {
            Some((FoundClient { client, credential }, watch)) => (Some(client), credential, watch),
            None => (None, None, None),
        };
        // A disabled client has no hash to compare with, exactly like an unknown one.
        let is_active = client.as_ref().is_some_and(|client| client.state == ClientState::Active);
        let known = stored.clone();
        let hash = stored
            .filter(|stored| is_active && stored.is_live(now))
            .and_then(|stored| stored.secret_hash().cloned());
        let is_out_of_use = known.is_some() && hash.is_none();

        // 4. Skip the hash if these credentials matched this very hash recently. For a disabled
        //    client the hash is still computed: a quick refusal would reveal its state to any
        //    holder of its secret.
        if let Some(client) = client.as_ref().filter(|_| verified.is_some() && verified == hash) {
            let client = Arc::clone(client);
            self.count_use(&client_id, secret, known.as_deref(), context, now);
            return Ok(AuthenticatedClient { client, credential, watch });
        }

        // 5. Compute exactly one hash. If there is none to compare with, the pool computes one of
        //    equal cost and ignores its outcome.
        let verifying =
            self.hash_pool.verify(presented, credentials, hash.clone(), is_suspect, lane, context);
        // Boxed like every rare step: the future of a call stays small.
        let matches = Box::pin(verifying).await?;

        // 6. Only now act on the checks that need no hash, so that every caller waited for one.
        match (client, hash) {
            (Some(client), Some(hash)) if matches => {
                self.verified.insert(presented, hash, now);
                self.lockout.forget(&client_id, secret);
                self.count_use(&client_id, secret, known.as_deref(), context, now);
                Ok(AuthenticatedClient { client, credential, watch })
            }
            _ => Err(self.refuse(&client_id, secret, is_out_of_use, context, now)),
        }
    }

    /// Counts a use. One of a retiring secret shows which deployment needs the new one.
    pub(super) fn count_use(
        &self,
        client_id: &ClientId,
        secret: SecretId,
        known: Option<&StoredCredential>,
        context: &RequestContext,
        now: Timestamp,
    ) {
        if known.is_some_and(StoredCredential::is_retiring) {
            self.uses.count_retiring(secret, client_id, context.source, now);
        } else {
            self.uses.count(secret, context.source, now);
        }
    }

    /// Counts a failure. A refusal of a secret that the client has and that is out of use shows
    /// which deployment still presents it.
    fn refuse(
        &self,
        client_id: &ClientId,
        secret: SecretId,
        is_out_of_use: bool,
        context: &RequestContext,
        now: Timestamp,
    ) -> Error {
        self.lockout.record(client_id, secret, now);
        if is_out_of_use {
            self.uses.count_refusal(secret, context.source, now);
        }
        self.log_refusal(secret, context, now);
        Error::InvalidClient
    }

    /// Refuses a secret that is locked out, and one that failed lately if it comes from a source
    /// that keeps failing.
    fn check_failures(
        &self,
        client_id: &ClientId,
        secret: SecretId,
        is_suspect: bool,
        context: &RequestContext,
        now: Timestamp,
    ) -> Result<(), Error> {
        let checked = if is_suspect && context.is_throttled {
            Err(Error::too_many_failures(RequestContext::THROTTLE_WAIT))
        } else {
            self.lockout.check(client_id, secret, now)
        };
        checked.inspect_err(|_| self.log_refusal(secret, context, now))
    }

    /// Logs a refused secret, so that an operator finds the deployment that still presents it, or
    /// an attacker. Its id is no secret, and the tag shows that this installation made it. The
    /// client id that came with it may be anything and is not logged.
    fn log_refusal(&self, secret: SecretId, context: &RequestContext, now: Timestamp) {
        if self.lockout.is_to_be_logged(secret, now) {
            let source = context.source.map(tracing::field::display);
            tracing::info!(secret_id = %secret.0, source, "refused a client secret");
        }
    }
}
