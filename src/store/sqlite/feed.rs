//! The change feed on SQLite. SQLite cannot notify another process, so a node polls. Cached entries
//! are valid for a fixed time after a poll, and a writer is not acknowledged before that time has
//! passed. This is the whole protocol: it needs no list of nodes, and it works between processes,
//! for example for a command beside a running node.

use std::time::Duration;

use async_trait::async_trait;
use sqlx::{Row, SqlitePool};
use tokio::time::sleep;

use super::fault::fault;
use crate::{
    domain::{Error, TagKeys, Timestamp},
    store::{Change, Feed, columns, row},
};

/// Polling interval. A poll costs about 50 µs.
const BEAT: Duration = Duration::from_millis(20);

/// How long the cache is valid after a poll. This is several intervals, because a busy machine may
/// poll late.
const HOLDS: Duration = Duration::from_millis(80);

/// Extra wait of a writer, so that by any clock its wait ends after the cache became invalid.
const MARGIN: Duration = Duration::from_millis(5);

/// Position of a node in the feed.
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

    /// There is nothing to renew, because there is no list of nodes. The clock is that of this
    /// machine.
    async fn renew(&mut self) -> Result<Option<Timestamp>, Error> {
        Ok(None)
    }

    async fn tag_keys(&mut self) -> Result<Option<TagKeys>, Error> {
        let row =
            sqlx::query(columns::TAG_KEYS).fetch_optional(&self.reader).await.map_err(fault)?;
        Ok(row.and_then(|row| row::tag_keys(&row).ok()))
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

/// Waits until no node uses anything that it cached before the commit.
pub(super) async fn applied_everywhere() {
    sleep(HOLDS + MARGIN).await;
}
