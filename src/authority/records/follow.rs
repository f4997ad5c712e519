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
    domain::{Clock, Error, chain},
    store::{Feed, Store},
};

/// How long to rest before a feed that was lost is looked for again.
const REST: Duration = Duration::from_millis(500);

/// A feed that was not read for so long may have lost changes: they are kept for an hour.
const TOO_LONG: Duration = Duration::from_mins(10);

/// How long a node that stops tries to give its lease back. If it fails, the lease ends by itself.
const FAREWELL: Duration = Duration::from_secs(1);

/// What keeps the memory of a node true.
pub struct Follower {
    pub(super) memory: Arc<Memory>,
    pub(super) store: Arc<dyn Store>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) lease: Duration,
}

impl Follower {
    /// Follows the feed until the node stops. While there is no feed, nothing that is remembered
    /// is relied upon, and every call asks the database.
    ///
    /// It has a thread of its own: late among a thousand requests, the lease would end, all of them
    /// would ask the database, and it would be later still.
    pub async fn run(self, stop: CancellationToken) {
        if self.memory.is_off() {
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
            if feed.is_some() || !is_lost {
                let cause = chain(&error);
                tracing::warn!(cause, "the change feed is lost: every call asks the database");
            }
            is_lost = true;
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
            if self.memory.distrusted_for(began) > TOO_LONG {
                return Err(Error::unavailable("the feed was not read for too long"));
            }
            feed.renew().await?;
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
