//! The change feed on SQLite. Nobody can be woken there, so a node looks often; what it read holds
//! for as long as whoever changes something waits. That is the whole protocol: it needs no list of
//! nodes and holds between processes, a command beside a running node for one.

use std::time::Duration;

use async_trait::async_trait;
use sqlx::{Row, SqlitePool};
use tokio::time::sleep;

use super::fault::fault;
use crate::{
    domain::{Error, Timestamp},
    store::{Change, Feed, row},
};

/// How often a node looks: a look costs some fifty microseconds.
const BEAT: Duration = Duration::from_millis(20);

/// For how long what was read holds. A few beats, since a busy machine may be late with one.
const HOLDS: Duration = Duration::from_millis(80);

/// For the two sides of the waiting to be told apart by any clock.
const MARGIN: Duration = Duration::from_millis(5);

/// A node's place in the feed.
pub(super) struct SqliteFeed {
    reader: SqlitePool,
    position: i64,
}

impl SqliteFeed {
    pub(super) const fn new(reader: SqlitePool) -> Self {
        Self { reader, position: 0 }
    }
}

#[async_trait]
impl Feed for SqliteFeed {
    async fn join(&mut self) -> Result<(), Error> {
        self.position = sqlx::query_scalar("select coalesce(max(id), 0) from change")
            .fetch_one(&self.reader)
            .await
            .map_err(fault)?;
        Ok(())
    }

    async fn read(&mut self) -> Result<Vec<Change>, Error> {
        let news = sqlx::query("select id, kind, subject from change where id > $1 order by id")
            .bind(self.position)
            .fetch_all(&self.reader)
            .await
            .map_err(fault)?;
        let mut changes = Vec::with_capacity(news.len());
        for row in &news {
            self.position = row.try_get("id").map_err(fault)?;
            changes.push(row::change(row));
        }
        Ok(changes)
    }

    /// There is no list of nodes, and the clock is this machine's.
    async fn renew(&mut self) -> Result<Option<Timestamp>, Error> {
        Ok(None)
    }

    fn lease(&self) -> Duration {
        HOLDS
    }

    async fn rest(&mut self) -> Result<(), Error> {
        sleep(BEAT).await;
        Ok(())
    }

    async fn leave(&mut self) {}
}

/// Waits until no node goes by what it read before the commit.
pub(super) async fn applied_everywhere() {
    sleep(HOLDS + MARGIN).await;
}
