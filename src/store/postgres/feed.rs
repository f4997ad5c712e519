//! The change feed on Postgres. LISTEN only wakes a node, and changes are read from the table, so
//! none is missed if notifications are lost, as they are behind a transaction pooler.
//!
//! The unit depends on the connection of the feed: it renews the lease, which proves that this node
//! is on the primary, and the pools are put into use together with it.
//!
//! A node can write its own row in the list of nodes and no other. It calls functions that take its
//! id, which no other node knows.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use sqlx::{
    Row,
    postgres::{PgConnectOptions, PgListener, PgPoolOptions},
};
use tokio::time::{Instant, sleep, timeout};
use uuid::Uuid;

use super::{
    fault::fault,
    lease::Lease,
    pool::Primary,
    schema,
    session::{self, Backend, OpenError},
    unit::Unit,
};
use crate::{
    domain::{Error, TagKeys, Timestamp},
    store::{Change, Feed, columns, row},
};

const CHANNEL: &str = "jeton_change";

/// Changes per query. A read runs queries until there are no more changes.
const PAGE: usize = 1_000;

/// Renewals per length of a lease.
const BEATS: u32 = 4;

/// Divisor for the part of a lease that is not used (a tenth): clocks run at different speeds.
const MARGIN: u32 = 10;

/// Polling interval of a node that does not use LISTEN. A poll costs about 50 µs.
const LOOK: Duration = Duration::from_millis(50);

/// Position of a node in the feed, on a connection of its own.
pub(super) struct PgFeed {
    primary: Arc<Primary>,
    unit: Arc<Unit>,
    listener: PgListener,
    backend: Option<Backend>,
    lease: Duration,
    node: Uuid,
    position: i64,
    /// When a renewal last checked that no partition was lost.
    looked: Option<Instant>,
}

/// Row of a renewal: its number, the newest change, and the time of the database in microseconds.
type Renewed = (i64, i64, i64);

impl PgFeed {
    /// Connects to the first host that is a usable primary.
    pub(super) async fn open(primary: &Arc<Primary>, lease: Duration) -> Result<Self, Error> {
        let unit = primary.new_unit();
        let mut last = OpenError::Busy;
        for host in &primary.route.hosts {
            match timeout(lease, connect(primary, &unit, host)).await {
                Ok(Ok((listener, backend))) => {
                    return Ok(Self {
                        primary: Arc::clone(primary),
                        unit,
                        listener,
                        backend,
                        lease,
                        node: Uuid::nil(),
                        position: 0,
                        looked: None,
                    });
                }
                Ok(Err(error)) => last = error,
                Err(_) => last = sqlx::Error::PoolTimedOut.into(),
            }
        }
        Err(last.into_fault())
    }

    /// Polls until there is a change, for about `beat`.
    async fn look_out(&mut self, beat: Duration) -> Result<(), Error> {
        for _ in 0..beat.as_millis().div_ceil(LOOK.as_millis()) {
            sleep(LOOK).await;
            let looked = sqlx::query_scalar("select exists (select from change where id > $1)")
                .bind(self.position)
                .fetch_one(&mut self.listener);
            if within(self.lease, looked).await? {
                break;
            }
        }
        Ok(())
    }

    async fn heed(&mut self, beat: Duration) -> Result<(), Error> {
        match timeout(beat, self.listener.try_recv()).await {
            Err(_) => Ok(()),
            Ok(Ok(Some(_))) => {
                // Further notifications that arrived with it add no information.
                while self.listener.next_buffered().is_some() {}
                Ok(())
            }
            Ok(Ok(None)) => Err(Error::unavailable("the connection of the change feed broke")),
            Ok(Err(error)) => Err(fault(error)),
        }
    }
}

async fn connect(
    primary: &Primary,
    unit: &Unit,
    host: &PgConnectOptions,
) -> Result<(PgListener, Option<Backend>), OpenError> {
    let pool = PgPoolOptions::new().max_connections(1).connect_lazy_with(host.clone());
    let mut listener = PgListener::connect_with(&pool).await?;
    // A reconnect may reach another server, which has another feed.
    listener.eager_reconnect(false);
    let found = session::set_up(&mut listener).await?;
    unit.standing.accept(&found)?;
    primary.route.warn_of_durability(&found);
    primary.route.end_left_behind(&mut listener).await?;
    if !primary.route.is_pooled {
        listener.listen(CHANNEL).await?;
    }
    Ok((listener, found.backend))
}

#[async_trait]
impl Feed for PgFeed {
    async fn join(&mut self) -> Result<(), Error> {
        let joined = sqlx::query_as("select node_id, place from join_feed($1, $2, $3)")
            .bind(i32::try_from(self.lease.as_millis()).unwrap_or(i32::MAX))
            .bind(schema::version_of_this_binary())
            .bind(self.primary.recorder())
            .fetch_one(&mut self.listener);
        (self.node, self.position) = within(self.lease, joined).await?;
        self.unit.standing.set_lease(Lease { node: self.node, renewals: 0 });
        self.primary.install(Arc::clone(&self.unit));
        Ok(())
    }

    async fn read(&mut self) -> Result<Vec<Change>, Error> {
        let mut changes = Vec::new();
        loop {
            let page = sqlx::query(
                "select id, kind, subject from change where id > $1 order by id limit $2",
            )
            .bind(self.position)
            .bind(i64::try_from(PAGE).unwrap_or(i64::MAX))
            .fetch_all(&mut self.listener);
            let page = within(self.lease, page).await?;
            if let Some(last) = page.last() {
                self.position = last.try_get("id").map_err(fault)?;
            }
            changes.extend(page.iter().map(row::change));
            if page.len() < PAGE {
                return Ok(changes);
            }
        }
    }

    async fn renew(&mut self) -> Result<Option<Timestamp>, Error> {
        // Dropping a partition fires no trigger, so renewals check that no partition is missing. A
        // renewal also follows each change, so the check is limited to one per beat.
        let looks = self.looked.is_none_or(|looked| looked.elapsed() >= self.lease / BEATS);
        let renewed =
            sqlx::query_as("select renewals, newest, micros from renew_lease($1, $2, $3)")
                .bind(self.node)
                .bind(self.position)
                .bind(looks)
                .fetch_optional(&mut self.listener);
        // Half a lease leaves time to open another connection before the lease expires.
        let renewed: Option<Renewed> = within(self.lease / 2, renewed).await?;
        if looks {
            self.looked = Some(Instant::now());
        }
        // If the row of this node is gone, its lease expired and writers no longer wait for it. If
        // the newest change is before the position of this node, this is another feed: the database
        // was restored, or a standby that lacked changes was promoted.
        match renewed {
            Some((renewals, newest, now)) if newest >= self.position => {
                self.unit.standing.set_lease(Lease { node: self.node, renewals });
                Ok(Some(Timestamp::from_unix_micros(now)))
            }
            _ => Err(Error::unavailable("the lease expired, or the change feed was replaced")),
        }
    }

    async fn tag_keys(&mut self) -> Result<Option<TagKeys>, Error> {
        let asked = sqlx::query(columns::TAG_KEYS).fetch_optional(&mut self.listener);
        let row = within(self.lease, asked).await?;
        Ok(row.and_then(|row| row::tag_keys(&row).ok()))
    }

    fn lease(&self) -> Duration {
        self.lease * (MARGIN - 1) / MARGIN
    }

    async fn rest(&mut self) -> Result<(), Error> {
        let beat = self.lease / BEATS;
        let is_over = self.unit.standing.is_over.clone();
        let resting = async {
            if self.primary.route.is_pooled {
                self.look_out(beat).await
            } else {
                self.heed(beat).await
            }
        };
        let over = || Err(Error::unavailable("a session is not on the server of the change feed"));
        is_over.run_until_cancelled(resting).await.unwrap_or_else(over)
    }

    async fn leave(&mut self) {
        let left = sqlx::query("select leave_feed($1)").bind(self.node).execute(&mut self.listener);
        // If this fails, the lease expires.
        if within(self.lease, left).await.is_ok() {
            self.backend = None;
        }
    }
}

impl Drop for PgFeed {
    /// A feed is lost when its connection breaks or does not answer. Its process on the server may
    /// then wait for ever, for example for a standby that is gone. The next session terminates it.
    fn drop(&mut self) {
        self.primary.route.leave_behind(self.backend);
    }
}

async fn within<T>(
    patience: Duration,
    asked: impl Future<Output = Result<T, sqlx::Error>>,
) -> Result<T, Error> {
    timeout(patience, asked).await.unwrap_or(Err(sqlx::Error::PoolTimedOut)).map_err(fault)
}
