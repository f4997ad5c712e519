//! Follows the change feed, so that what the node remembers stays true.

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
    store::{Feed, Store},
};

/// How long to rest before a feed that was lost is looked for again.
const REST: Duration = Duration::from_millis(500);

/// How long a node that stops tries to give its lease back. If it fails, the lease ends by itself.
const FAREWELL: Duration = Duration::from_secs(1);

/// What keeps the memory of a node true.
pub struct Follower {
    pub(super) cache: Arc<LeasedCache>,
    pub(super) store: Arc<dyn Store>,
    pub(super) clock: Arc<NodeClock>,
    pub(super) lease: Duration,
}

impl Follower {
    /// Follows the feed until the node stops. While there is no feed, nothing that is remembered
    /// is relied upon; and where a lease is needed, no call is answered.
    ///
    /// It has a thread of its own: late among a thousand requests, the lease would end, all of them
    /// would ask the database, and it would be later still.
    pub async fn run(self, stop: CancellationToken) {
        if self.cache.is_off() && !self.store.needs_lease() {
            return;
        }
        let (running, ended) = oneshot::channel::<Infallible>();
        let spawned = thread::Builder::new().name("feed".to_owned()).spawn(move || {
            let mut is_lost = false;
            while self.follow_once(&stop, &mut is_lost) {}
            drop(running);
        });
        match spawned {
            Ok(_) => drop(ended.await),
            Err(error) => tracing::error!(%error, "the change feed cannot be followed"),
        }
    }

    /// Follows one feed until it is lost. False once the node stops.
    ///
    /// Each has a runtime of its own, which is dropped with it: the driver leaves a task behind
    /// that says goodbye on a connection, and on one that does not answer it would hold the socket.
    fn follow_once(&self, stop: &CancellationToken, is_lost: &mut bool) -> bool {
        match Builder::new_current_thread().enable_all().build() {
            Ok(runtime) => runtime.block_on(self.until_lost(stop, is_lost)),
            Err(error) => {
                tracing::error!(%error, "the change feed cannot be followed");
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
        // Once for each loss: a database that is away is told of by those who need it.
        let was_followed = feed.take().is_some();
        if was_followed || !*is_lost {
            tracing::warn!(cause = chain(&error), "the change feed is lost: it is joined anew");
        }
        *is_lost = true;
        // A connection that breaks is mostly a single one, and another one is had at once.
        if was_followed && self.cache.is_leased() {
            return true;
        }
        stop.run_until_cancelled(sleep(REST)).await.is_some()
    }

    /// One feed, from its beginning to its loss.
    async fn session(&self, feed: &mut Option<Box<dyn Feed>>) -> Result<Infallible, Error> {
        let connected = self.store.follow(self.lease).await?;
        let feed = feed.insert(connected);

        // Until here an old lease may still run. Between the moment from which changes are read
        // and the one in which everything is forgotten, nothing may be relied upon; and what is
        // being read from the database meanwhile belongs to an epoch that is over then.
        self.cache.end_lease();
        feed.join().await?;
        self.cache.apply(&[crate::store::Change::Everything]);
        tracing::debug!("following the change feed");
        loop {
            let began = self.clock.uptime();
            if let Some(database_time) = feed.renew().await? {
                let observed = self.clock.observe(began, self.clock.uptime(), database_time);
                if let Err(disagree) = observed {
                    // Nobody shall wait for a lease that is not used.
                    self.cache.end_lease();
                    feed.leave().await;
                    return Err(Error::unavailable(disagree));
                }
            }
            let changes = feed.read().await?;
            self.cache.apply(&changes);
            self.cache.lease_until(began + feed.lease());
            // What was applied is told at once: somebody waits for it.
            if changes.is_empty() {
                feed.rest().await?;
            }
        }
    }
}
