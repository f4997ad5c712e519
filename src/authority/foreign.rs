//! Authentication with a secret that another system made. Its text has no tag and names no secret:
//! it is compared with each of the few secrets of its client, in a lane of its own.

use std::sync::Arc;

use super::{Authority, authenticate::AuthenticatedClient};
use crate::{
    credentials::{Fingerprint, in_place_of_secret},
    domain::{
        ClientId, ClientState, Clock, Error, ForeignSecret, Lane, Malformed, SecretHash, SecretId,
        StoredCredential, Timestamp,
    },
    request::RequestContext,
    store::FoundClient,
};

impl Authority {
    pub(super) async fn by_foreign_secret(
        &self,
        client_id: ClientId,
        secret: ForeignSecret,
        lane: Lane,
        context: &RequestContext,
    ) -> Result<AuthenticatedClient, Error> {
        // 1. Where nothing was imported, no text without a tag is right.
        if !self.cache.has_foreign_secrets(lane).await? {
            return Err(Error::InvalidClient);
        }

        // 2. Skip the hash if this text matched lately, and the secret is still as it was.
        let now = self.clock.now();
        let presented = self.fingerprint_key.of_text(&client_id, secret.expose());
        if let Some(known) = self.known_foreign(&presented, &client_id, lane, context, now).await? {
            return Ok(known);
        }

        // 3. Refuse sources that keep failing, before any query, and take one of the few turns.
        //    Those that failed lately take one only if it is free.
        let failing = in_place_of_secret(context.source);
        let is_suspect = self.foreign_lockout.is_suspect(failing, now);
        if context.is_throttled && is_suspect {
            return Err(Error::too_many_failures(RequestContext::THROTTLE_WAIT));
        }
        self.foreign_lockout.check(&client_id, failing, now)?;
        let turn = self.hash_pool.foreign_turn(is_suspect, context).await?;

        // 4. Find the client with its secrets, and compare. A disabled client has none to compare
        //    with, exactly like an unknown one. A hash that cannot be used matches nothing: the
        //    caller must not learn from it that there is such a client.
        let mut found = self.cache.find_foreign(lane, &client_id, now).await?;
        found.retain(|found| found.client.state == ClientState::Active);
        found.retain(|found| hash_of(found).is_some());
        let hashes: Vec<_> = found.iter().filter_map(hash_of).cloned().collect();
        let comparing = turn.first_match(secret, hashes, Arc::clone(&self.random));
        let compared = Box::pin(comparing).await?;
        for (index, why) in compared.unusable {
            self.log_unusable(found.get(index), why, now);
        }

        // 5. Count the outcome, and leave a weak hash behind.
        let matched = compared.matched;
        let matched = matched.map(|matched| (found.swap_remove(matched.index), matched.better));
        let Some((FoundClient { client, credential: Some(known) }, better)) = matched else {
            self.foreign_lockout.record(&client_id, failing, now);
            self.log_foreign_refusal(failing, context, now);
            return Err(Error::InvalidClient);
        };
        let StoredCredential::Secret(stored) = &*known;
        let hash = Box::pin(self.improved(stored.id, &stored.hash, better, lane)).await;
        self.verified.insert(presented, hash, now);
        self.known_foreign.insert(presented, stored.id);
        self.foreign_lockout.forget(&client_id, failing);
        self.count_use(&client_id, stored.id, Some(&*known), context, now);
        Ok(AuthenticatedClient { client, credential: stored.id.into(), watch: None })
    }

    /// The client, if this text matched one of its secrets lately. Counts the use.
    async fn known_foreign(
        &self,
        presented: &Fingerprint,
        client_id: &ClientId,
        lane: Lane,
        context: &RequestContext,
        now: Timestamp,
    ) -> Result<Option<AuthenticatedClient>, Error> {
        let Some(secret) = self.known_foreign.of(presented) else { return Ok(None) };
        let Some(verified) = self.verified.matched(presented, now) else { return Ok(None) };
        let found = self.cache.find_client(lane, client_id, secret.into()).await?;
        let Some((FoundClient { client, credential: Some(stored) }, watch)) = found else {
            return Ok(None);
        };
        let is_as_before = client.state == ClientState::Active
            && stored.is_live(now)
            && stored.secret_hash() == Some(&verified);
        if !is_as_before {
            return Ok(None);
        }
        self.count_use(client_id, secret, Some(&*stored), context, now);
        Ok(Some(AuthenticatedClient { client, credential: secret.into(), watch }))
    }

    /// Stores a better hash of a text that was just compared. Returns the one that is stored now. A
    /// failure is no reason to refuse the client: the next success tries again.
    async fn improved(
        &self,
        secret: SecretId,
        hash: &SecretHash,
        better: Option<SecretHash>,
        lane: Lane,
    ) -> SecretHash {
        let Some(better) = better else { return hash.clone() };
        match self.cache.replace_foreign_hash(lane, secret, hash, &better).await {
            Ok(true) => better,
            Ok(false) => hash.clone(),
            Err(error) => {
                tracing::warn!(secret_id = %secret.0, %error, "an imported hash stays as it is");
                hash.clone()
            }
        }
    }

    /// Logs a stored hash that cannot be used, once per second. Its secret never authenticates.
    fn log_unusable(&self, found: Option<&FoundClient>, why: Malformed, now: Timestamp) {
        let Some(secret) = found.and_then(|found| found.credential.as_ref()) else { return };
        let secret = SecretId(secret.id().0);
        if self.foreign_lockout.is_to_be_logged(secret, now) {
            tracing::warn!(secret_id = %secret.0, error = %why, "an imported hash cannot be used");
        }
    }

    /// Logs a refusal, once per second for each source. The client id may be anything and is not
    /// logged, nor is there a secret to name.
    fn log_foreign_refusal(&self, failing: SecretId, context: &RequestContext, now: Timestamp) {
        if self.foreign_lockout.is_to_be_logged(failing, now) {
            let source = context.source.map(tracing::field::display);
            tracing::info!(source, "refused a secret that Jeton did not make");
        }
    }
}

fn hash_of(found: &FoundClient) -> Option<&SecretHash> {
    found.credential.as_ref().and_then(|stored| stored.secret_hash())
}
