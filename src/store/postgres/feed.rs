//! The change feed on Postgres. LISTEN wakes a node; the table is the truth, so that nothing is
//! missed where notifications are lost, as they are behind a pooler of transactions.

use std::time::Duration;

use async_trait::async_trait;
use sqlx::{
    PgPool,
    postgres::{PgConnectOptions, PgListener, PgPoolOptions},
};
use tokio::time::{sleep, timeout};
use uuid::Uuid;

use super::fault::fault;
use crate::{
    domain::Error,
    store::{Change, Feed, Upkeep},
};

const CHANNEL: &str = "jeton_change";

/// Changes of one look; there may be more at once.
const PAGE: i64 = 1_000;

/// How many times a lease is renewed before it would end.
const BEATS: u32 = 4;

/// The part of a lease that is not used, for clocks that run at different speeds and for one that
/// is set by a little: a database that moves to another machine takes the clock of that machine.
const MARGIN: u32 = 10;

/// How long whoever changed something waits for the nodes before it gives up. No lease is longer.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long to rest between two looks at what the nodes have applied.
const FIRST_REST: Duration = Duration::from_millis(1);
const LONGEST_REST: Duration = Duration::from_millis(16);

/// How often a node looks that does not listen: a look costs some fifty microseconds.
const LOOK: Duration = Duration::from_millis(50);

/// A node's place in the feed, on a connection of its own.
pub(super) struct PgFeed {
    listener: PgListener,
    listens: bool,
    lease: Duration,
    node: Uuid,
    position: i64,
}

impl PgFeed {
    pub(super) async fn connect(
        options: PgConnectOptions,
        limits: PgPoolOptions,
        lease: Duration,
        listens: bool,
    ) -> Result<Self, Error> {
        let pool = limits.max_connections(1).connect_lazy_with(options);
        let listening = async {
            let mut listener = PgListener::connect_with(&pool).await?;
            // A new connection may lead to another database: it is not the same feed.
            listener.eager_reconnect(false);
            if listens {
                listener.listen(CHANNEL).await?;
            }
            Ok(listener)
        };
        let listener = within(lease, listening).await?;
        Ok(Self { listener, listens, lease, node: Uuid::nil(), position: 0 })
    }

    /// Returns when there is a change, or after about so long.
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

    fn lease_seconds(&self) -> f64 {
        self.lease.as_secs_f64()
    }
}

#[async_trait]
impl Feed for PgFeed {
    async fn join(&mut self) -> Result<(), Error> {
        let joined = sqlx::query_as(
            "insert into node (id, applied, lease_until)
             values (gen_random_uuid(), (select coalesce(max(id), 0) from change),
                     clock_timestamp() + make_interval(secs => $1))
             returning id, applied",
        )
        .bind(self.lease_seconds())
        .fetch_one(&mut self.listener);
        (self.node, self.position) = within(self.lease, joined).await?;
        Ok(())
    }

    async fn read(&mut self) -> Result<Vec<Change>, Error> {
        let mut changes = Vec::new();
        loop {
            let page = sqlx::query_as(
                "select id, kind, subject from change where id > $1 order by id limit $2",
            )
            .bind(self.position)
            .bind(PAGE)
            .fetch_all(&mut self.listener);
            let page: Vec<(i64, String, Option<Uuid>)> = within(self.lease, page).await?;
            let Some((last, ..)) = page.last() else { return Ok(changes) };
            self.position = *last;
            changes.extend(page.into_iter().map(|(_, kind, subject)| Change::read(&kind, subject)));
        }
    }

    async fn renew(&mut self) -> Result<(), Error> {
        let renewed = sqlx::query_scalar(
            "update node set applied = $2,
                             lease_until = clock_timestamp() + make_interval(secs => $3)
             where id = $1 returning (select last_value from change_id_seq)",
        )
        .bind(self.node)
        .bind(self.position)
        .bind(self.lease_seconds())
        .fetch_optional(&mut self.listener);
        let newest: Option<i64> = within(self.lease, renewed).await?;
        // A node whose row is gone was away for long. A feed that ends before what was read from it
        // is another one: the database was restored, or another one took its place and had not yet
        // heard everything.
        match newest {
            Some(newest) if newest >= self.position => Ok(()),
            _ => Err(Error::unavailable("the change feed is not the one that was followed")),
        }
    }

    fn lease(&self) -> Duration {
        self.lease * (MARGIN - 1) / MARGIN
    }

    async fn rest(&mut self) -> Result<(), Error> {
        let beat = self.lease / BEATS;
        if !self.listens {
            return self.look_out(beat).await;
        }
        match timeout(beat, self.listener.try_recv()).await {
            Err(_) => Ok(()),
            Ok(Ok(Some(_))) => {
                // Others that have come along with it tell nothing more.
                while self.listener.next_buffered().is_some() {}
                Ok(())
            }
            Ok(Ok(None)) => Err(Error::unavailable("the connection of the change feed broke")),
            Ok(Err(error)) => Err(fault(error)),
        }
    }

    async fn leave(&mut self) {
        let left = sqlx::query("delete from node where id = $1")
            .bind(self.node)
            .execute(&mut self.listener);
        // If this fails, the lease ends by itself.
        let _ = within(self.lease, left).await;
    }
}

/// Waits until no node can go on as if nothing had changed: each has applied the newest change, or
/// its lease is over. Called after the commit. The newest change may be that of somebody else; then
/// ours, which was committed before, is applied as well.
pub(super) async fn applied_everywhere(pool: &PgPool) -> Result<(), Error> {
    let waiting = async {
        let newest: i64 = sqlx::query_scalar("select coalesce(max(id), 0) from change")
            .fetch_one(pool)
            .await
            .map_err(fault)?;
        let mut rest = FIRST_REST;
        loop {
            let is_awaited: bool = sqlx::query_scalar(
                "select exists
                     (select from node where applied < $1 and lease_until > clock_timestamp())",
            )
            .bind(newest)
            .fetch_one(pool)
            .await
            .map_err(fault)?;
            if !is_awaited {
                return Ok(());
            }
            sleep(rest).await;
            rest = (rest * 2).min(LONGEST_REST);
        }
    };
    let late = || Err(Error::unavailable("a node does not apply changes and keeps its lease"));
    timeout(PATIENCE, waiting).await.unwrap_or_else(|_| late())
}

/// Removes what nobody reads any more: first the nodes that have been away for long, then changes
/// so old that each node that is left has read them.
pub(super) async fn forget(pool: &PgPool, done: &mut Upkeep) -> Result<(), Error> {
    sqlx::query("delete from node where lease_until < now() - interval '10 minutes'")
        .execute(pool)
        .await
        .map_err(fault)?;
    done.changes_forgotten =
        sqlx::query("delete from change where changed_at < now() - interval '1 hour'")
            .execute(pool)
            .await
            .map_err(fault)?
            .rows_affected();
    Ok(())
}

async fn within<T>(
    patience: Duration,
    asked: impl Future<Output = Result<T, sqlx::Error>>,
) -> Result<T, Error> {
    timeout(patience, asked).await.unwrap_or(Err(sqlx::Error::PoolTimedOut)).map_err(fault)
}
