//! Quotas: limits on issuing tokens to each client.
//!
//! A client that requests a token for every call, or in a loop, would fill the database for all
//! others. Its quota is a rate with a burst, and a ceiling of live tokens. It is counted after
//! authentication, so nobody uses up the quota of another client, and before the token is made.
//!
//! Each node counts by itself and forgets its counts when it ends. So N nodes issue at most N times
//! a quota, and a restarted node begins anew. Rejected: a shared count in the database, which costs
//! a write or a scan for what the limits of one node already bound.

mod meter;

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use quick_cache::sync::Cache;

use self::meter::{Meter, Taken};
use crate::{
    domain::{Client, ClientKey, Error, Quota, QuotaKind, QuotaMode, QuotaState},
    stats::{Count, QuotaStats},
};

/// Clients that are counted. The least used are evicted first and begin anew, so one that exceeds
/// its quota stays. A meter takes 168 bytes.
const METERS: usize = 10_000;

/// Options of the quotas.
#[derive(Debug, Clone, Copy)]
pub struct QuotaOptions {
    /// What is done about a client that exceeds its quota.
    pub mode: QuotaMode,
    /// Limits of clients that have none of their own.
    pub defaults: Quota,
}

/// The quotas of all clients, as this node counts them.
pub(super) struct Quotas {
    options: QuotaOptions,
    meters: Cache<ClientKey, Arc<Mutex<Meter>>>,
    exceeded: [Count; 2],
    reached: [[Count; QuotaStats::PERCENTS.len()]; 2],
}

impl Quotas {
    pub(super) fn new(options: QuotaOptions) -> Self {
        Self {
            options,
            meters: Cache::new(METERS),
            exceeded: Default::default(),
            reached: Default::default(),
        }
    }

    /// Takes one token from the quota of an authenticated client at this uptime. Returns the state
    /// of the quota, or `None` if quotas are off.
    ///
    /// # Errors
    /// `QuotaExceeded` if the quota is used up and is enforced.
    pub(super) fn take(
        &self,
        client: &Client,
        uptime: Duration,
    ) -> Result<Option<QuotaState>, Error> {
        if self.options.mode == QuotaMode::Off {
            return Ok(None);
        }
        let quota = client.quota.over(self.options.defaults);
        let fresh = || Ok::<_, std::convert::Infallible>(Arc::default());
        let Ok(meter) = self.meters.get_or_insert_with(&client.key, fresh);
        let taken = meter.lock().unwrap_or_else(PoisonError::into_inner).take(
            uptime,
            quota,
            client.token_lifetime.duration(),
        );
        self.tell(client, &taken);
        if let Some((kind, retry_after)) = taken.exceeded {
            self.exceeded[kind as usize].add_one();
            if self.options.mode == QuotaMode::Enforce {
                return Err(Error::QuotaExceeded { kind, retry_after, state: taken.state });
            }
        }
        Ok(Some(taken.state))
    }

    /// Counts and logs each share of a limit that was newly reached.
    fn tell(&self, client: &Client, taken: &Taken) {
        for kind in QuotaKind::ALL {
            let Some(step) = taken.reached[kind as usize] else { continue };
            self.reached[kind as usize][step].add_one();
            let (client_id, limit) = (&client.client_id, taken.state.of(kind).limit);
            let percent = QuotaStats::PERCENTS[step];
            let quota = kind.as_str();
            if percent < 100 {
                let message = "a client uses much of its quota";
                tracing::info!(%client_id, quota, limit, percent, "{message}");
            } else if self.options.mode == QuotaMode::Enforce {
                tracing::warn!(%client_id, quota, limit, percent, "a client has used up its quota");
            } else {
                tracing::warn!(
                    %client_id, quota, limit, percent,
                    "a client has used up its quota, which is not enforced"
                );
            }
        }
    }

    pub(super) fn stats(&self) -> QuotaStats {
        QuotaStats {
            exceeded: self.exceeded.each_ref().map(Count::get),
            reached: self.reached.each_ref().map(|steps| steps.each_ref().map(Count::get)),
        }
    }
}
