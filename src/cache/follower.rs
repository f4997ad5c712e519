//! Follows the change feed and renews the lease, so that the cache of the node stays current.

use std::{convert::Infallible, sync::Arc, thread, time::Duration};

use tokio::{
    runtime::Builder,
    sync::oneshot,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use super::leased::LeasedCache;
use crate::{
    domain::{Clock, Error, NodeClock, chain},
    store::{Change, Feed, Store},
};

/// Pause before a lost feed is joined again.
const REST: Duration = Duration::from_millis(500);

/// How long a stopping node tries to give its lease back. If that fails, the lease expires.
const FAREWELL: Duration = Duration::from_secs(1);

/// The task that keeps the cache of a node current.
pub struct Follower {
    pub(super) cache: Arc<LeasedCache>,
    pub(super) store: Arc<dyn Store>,
    pub(super) clock: Arc<NodeClock>,
    pub(super) lease: Duration,
}

impl Follower {
    /// Follows the feed until the node stops. Without a feed the cache is not used, and if the
    /// store needs a lease, no call is answered.
    ///
    /// It runs on a thread of its own. If a thousand requests delayed it, the lease would expire,
    /// all of them would ask the database, and it would be delayed further.
    pub async fn run(self, stop: CancellationToken) {
        let (running, ended) = oneshot::channel::<Infallible>();
        let spawned = thread::Builder::new().name("feed".to_owned()).spawn(move || {
            let mut is_lost = false;
            while self.follow_once(&stop, &mut is_lost) {}
            drop(running);
        });
        match spawned {
            Ok(_) => drop(ended.await),
            Err(error) => tracing::error!(%error, "cannot follow the change feed"),
        }
    }

    /// Follows one feed until it is lost. False once the node stops.
    ///
    /// Each feed has a runtime of its own, which is dropped with it. The driver leaves a task
    /// behind that closes the connection; if the peer is silent, that task would keep the socket.
    fn follow_once(&self, stop: &CancellationToken, is_lost: &mut bool) -> bool {
        match Builder::new_current_thread().enable_all().build() {
            Ok(runtime) => runtime.block_on(self.until_lost(stop, is_lost)),
            Err(error) => {
                tracing::error!(%error, "cannot follow the change feed");
                false
            }
        }
    }

    async fn until_lost(&self, stop: &CancellationToken, is_lost: &mut bool) -> bool {
        let mut feed = None;
        let followed = stop.run_until_cancelled(self.session(&mut feed)).await;
        let Some(Err(error)) = followed else {
            self.cache.end_lease();
            if let Some(mut feed) = feed {
                let _ = timeout(FAREWELL, feed.leave()).await;
            }
            return false;
        };
        // Logged once per loss: while the database is down, failing requests are logged anyway.
        let was_followed = feed.take().is_some();
        if was_followed || !*is_lost {
            tracing::warn!(cause = chain(&error), "lost the change feed; joining it again");
        }
        *is_lost = true;
        // Mostly only this one connection broke, and a new one can be opened immediately.
        if was_followed && self.cache.is_leased() {
            return true;
        }
        stop.run_until_cancelled(sleep(REST)).await.is_some()
    }

    /// Applies changes. One that may concern everything may concern the tag keys, which the cache
    /// holds as well. They are read before the lease is relied upon, so the keys are as fresh as
    /// the cached entries.
    async fn apply(&self, feed: &mut dyn Feed, changes: &[Change]) -> Result<(), Error> {
        if changes.contains(&Change::Everything) {
            if let Some(keys) = feed.tag_keys().await? {
                self.cache.set_tag_keys(keys);
            } else {
                tracing::error!("the tag keys cannot be read; keeping those read before");
            }
        }
        self.cache.apply(changes);
        Ok(())
    }

    /// Follows one feed from its beginning to its loss. Leaves it in `feed`, so that the caller can
    /// give its lease back.
    async fn session(&self, feed: &mut Option<Box<dyn Feed>>) -> Result<Infallible, Error> {
        let connected = self.store.follow(self.lease).await?;
        let feed = feed.insert(connected);

        // End any earlier lease: between joining the feed and invalidating the cache, no entry may
        // be used. A read in flight meanwhile has an old epoch and is not cached.
        self.cache.end_lease();
        feed.join().await?;
        self.apply(feed.as_mut(), &[Change::Everything]).await?;
        tracing::debug!("following the change feed");
        loop {
            let began = self.clock.uptime();
            if let Some(database_time) = feed.renew().await? {
                let observed = self.clock.observe(began, self.clock.uptime(), database_time);
                if let Err(disagree) = observed {
                    // Writers must not wait for a lease that is not used.
                    self.cache.end_lease();
                    feed.leave().await;
                    return Err(Error::unavailable(disagree));
                }
            }
            let changes = feed.read().await?;
            self.apply(feed.as_mut(), &changes).await?;
            self.cache.lease_until(began + feed.lease());
            // Applied changes are acknowledged immediately, because their writers wait for it.
            if changes.is_empty() {
                feed.rest().await?;
            }
        }
    }
}
