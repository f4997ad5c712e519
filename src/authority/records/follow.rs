//! Follows the change feed, so that what the node remembers stays true.

use std::{convert::Infallible, sync::Arc, thread, time::Duration};

use tokio::{
    runtime::Builder,
    sync::oneshot,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use super::memory::Memory;
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
    pub(super) memory: Arc<Memory>,
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
        if self.memory.is_off() && !self.store.needs_lease() {
            return;
        }
        let (running, ended) = oneshot::channel::<Infallible>();
        let spawned = thread::Builder::new().name("feed".to_owned()).spawn(move || {
            let runtime = Builder::new_current_thread().enable_all().build();
            match runtime {
                Ok(runtime) => runtime.block_on(self.follow(stop)),
                Err(error) => tracing::error!(%error, "the change feed cannot be followed"),
            }
            drop(running);
        });
        match spawned {
            Ok(_) => drop(ended.await),
            Err(error) => tracing::error!(%error, "the change feed cannot be followed"),
        }
    }

    async fn follow(self, stop: CancellationToken) {
        let mut is_lost = false;
        loop {
            let mut feed = None;
            let followed = stop.run_until_cancelled(self.session(&mut feed)).await;
            let Some(Err(error)) = followed else {
                self.memory.distrust();
                if let Some(mut feed) = feed {
                    let _ = timeout(FAREWELL, feed.leave()).await;
                }
                return;
            };
            // Once for each loss: a database that is away is told of by those who need it.
            let was_followed = feed.take().is_some();
            if was_followed || !is_lost {
                tracing::warn!(cause = chain(&error), "the change feed is lost: it is joined anew");
            }
            is_lost = true;
            // A connection that breaks is mostly a single one, and another one is had at once.
            if was_followed && self.memory.is_trusted() {
                continue;
            }
            if stop.run_until_cancelled(sleep(REST)).await.is_none() {
                return;
            }
        }
    }

    /// One feed, from its beginning to its loss.
    async fn session(&self, feed: &mut Option<Box<dyn Feed>>) -> Result<Infallible, Error> {
        let connected = self.store.follow(self.lease).await?;
        let feed = feed.insert(connected);

        // Until here an old lease may still run. Between the moment from which changes are read
        // and the one in which everything is forgotten, nothing may be relied upon; and what is
        // being read from the database meanwhile belongs to an epoch that is over then.
        self.memory.distrust();
        feed.join().await?;
        self.memory.apply(&[crate::store::Change::Everything]);
        tracing::debug!("following the change feed");
        loop {
            let began = self.clock.uptime();
            if let Some(database_time) = feed.renew().await? {
                let observed = self.clock.observe(began, self.clock.uptime(), database_time);
                observed.map_err(Error::unavailable)?;
            }
            let changes = feed.read().await?;
            self.memory.apply(&changes);
            self.memory.trust_until(began + feed.lease());
            // What was applied is told at once: somebody waits for it.
            if changes.is_empty() {
                feed.rest().await?;
            }
        }
    }
}
