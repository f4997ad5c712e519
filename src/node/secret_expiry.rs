//! Warnings about client secrets that end soon, or have ended without having been retired.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use crate::{
    domain::{Error, Timestamp},
    store::{EndingSecret, Store},
    telemetry::Metrics,
};

/// How long before its end a secret is warned of.
const SOON: Duration = Duration::from_hours(30 * 24);

/// How long after its end a secret is still reported, because a deployment may still present it.
const LATELY: Duration = Duration::from_hours(24);

/// Interval of the log line.
const TELL: Duration = Duration::from_hours(24);

/// Maximum secrets that one round reads. More are reported as this number.
const MOST: u32 = 1_000;

/// Reports ending secrets as metrics in each round of upkeep, and in the log once a day.
pub(super) struct ExpiryWatch {
    store: Arc<dyn Store>,
    metrics: Arc<Metrics>,
    told: Option<Instant>,
}

impl ExpiryWatch {
    pub(super) fn new(store: Arc<dyn Store>, metrics: Arc<Metrics>) -> Self {
        Self { store, metrics, told: None }
    }

    /// Looks for ending secrets and reports them.
    ///
    /// # Errors
    /// Errors of the store.
    pub(super) async fn look(&mut self, now: Timestamp) -> Result<(), Error> {
        let (from, until) = (now.minus(LATELY), now.plus(SOON));
        let found = self.store.ending_secrets(from, None, until, MOST).await?;
        let found: Vec<_> = found.into_iter().flatten().collect();
        let expired = found.partition_point(|secret| secret.expires_at <= now);
        let expiring = found.len() - expired;
        self.metrics.secrets_end(expiring, expired);
        if let Some(first) = found.first()
            && self.told.is_none_or(|told| told.elapsed() >= TELL)
        {
            self.told = Some(Instant::now());
            tell(first, expiring, expired);
        }
        Ok(())
    }
}

fn tell(first: &EndingSecret, expiring: usize, expired: usize) {
    tracing::warn!(
        expiring_within_30_days = expiring,
        expired_within_1_day = expired,
        first_client_id = %first.client_id,
        first_secret_id = %first.id.0,
        first_expires_at = %first.expires_at,
        "client secrets end soon or have ended: `jeton client list` shows how many each client has",
    );
}
