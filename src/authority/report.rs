//! Reports of leaked secrets by anybody who holds their texts.
//!
//! The text is the only proof, so nobody is authenticated. Every report of a text in the form of a
//! secret is answered alike, whatever it names: a caller learns nothing about secrets and clients.

use std::time::Duration;

use quick_cache::sync::Cache;
use tokio::sync::{Semaphore, SemaphorePermit};

use super::Authority;
use crate::{
    credentials::{Fingerprint, SecretCredentials},
    domain::{Actor, ClientId, ClientSecret, Clock, Error, Lane, SecretId},
    request::RequestContext,
};

/// Maximum reports at the same time that cost a hash. The others are told to wait.
const MAX_REPORTS: usize = 4;

/// How long a report of the same text is answered without another hash.
const LATELY: Duration = Duration::from_mins(1);

/// Maximum texts of which it is known that they were reported lately.
const ANSWERED: usize = 10_000;

/// The lane whose hash queue and connections reports use.
const LANE: Lane = Lane::Inspect;

/// Reported secrets have the turns of those that failed lately: they are hashed while no client
/// waits for a hash.
const IS_SUSPECT: bool = true;

/// The limits on reports. Somebody who has many old secrets can make each of them cost one hash a
/// minute, and no more than a few at the same time.
pub(super) struct Reports {
    permits: Semaphore,
    /// When each text was answered, by the uptime.
    answered: Cache<Fingerprint, Duration>,
}

impl Default for Reports {
    fn default() -> Self {
        Self { permits: Semaphore::new(MAX_REPORTS), answered: Cache::new(ANSWERED) }
    }
}

impl Reports {
    fn begin(&self) -> Result<SemaphorePermit<'_>, Error> {
        self.permits.try_acquire().map_err(|_| Error::queue_full(Duration::from_secs(1)))
    }

    fn was_answered(&self, text: &Fingerprint, uptime: Duration) -> bool {
        self.answered.get(text).is_some_and(|at| uptime.saturating_sub(at) < LATELY)
    }
}

impl Authority {
    /// Declares a secret leaked whose text somebody reports: it no longer authenticates, and tokens
    /// issued with it are inactive. The report of any other text, or of one that leaked before,
    /// is a success without effect. Retired and expired secrets are declared leaked too, because
    /// their tokens may live, and those of deleted clients, because these may come back.
    ///
    /// # Errors
    /// `TooManyRequests` if there are too many reports, or if the hash queue has no place or is too
    /// slow; otherwise errors of the store and of the hash pool. Success is never reported before
    /// the change is durable, and no node accepts the secret or its tokens any more.
    pub async fn report_leak(
        &self,
        secret: ClientSecret,
        context: &RequestContext,
    ) -> Result<(), Error> {
        // 1. A text with a wrong tag was not made here and costs nothing. A right one is no proof
        //    yet: with the tag key, a thief of the database could make it from the id of a secret.
        if !secret.has_tag_of(&*self.cache.tag_keys().await?) {
            return Ok(());
        }

        // 2. Bound the work. A report names no client, so the id of the secret stands in its place.
        let id = secret.id();
        let client_id = ClientId::parse(&id.0.to_string()).map_err(Error::internal)?;
        let credentials = SecretCredentials { client_id, secret };
        let text = self.fingerprint_key.of(&credentials);
        if self.reports.was_answered(&text, self.clock.uptime()) {
            return Ok(());
        }
        let permit = self.reports.begin()?;
        self.hash_pool.check_place(&text, id, IS_SUSPECT, LANE, context)?;

        // 3. Read the secret. One that leaked before has nothing to lose.
        let stored = self.cache.read_secret(id).await?;
        let hash = stored.filter(|stored| stored.leaked_at.is_none()).map(|stored| stored.hash);

        // 4. Compute one hash, whether or not there is such a secret.
        let verifying = self.hash_pool.verify(text, credentials, hash, IS_SUSPECT, LANE, context);
        if verifying.await? {
            self.burn(id, context).await?;
        }
        drop(permit);

        // 5. Wait for the other nodes, also if there was nothing to do: another report of the same
        //    text may have changed it just now.
        self.cache.settle().await?;
        self.reports.answered.insert(text, self.clock.uptime());
        Ok(())
    }

    async fn burn(&self, id: SecretId, context: &RequestContext) -> Result<(), Error> {
        let (now, holder) = (self.clock.now(), Actor::holder(context.source));
        if self.cache.burn_secret(id, now, &holder).await? {
            let source = context.source.map(tracing::field::display);
            tracing::warn!(secret_id = %id.0, source, "a client secret was reported as leaked");
        }
        Ok(())
    }
}
