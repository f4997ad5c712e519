//! When secrets end, on SQLite. The largest integer is the end of time.

use async_trait::async_trait;
use sqlx::SqlitePool;
use uuid::Uuid;

use super::{SqliteStore, fault::fault};
use crate::{
    domain::{ClientKey, Error, SecretId, Timestamp},
    store::{EndingSecret, ExpiryStore, LiveSecrets, columns, row},
};

#[async_trait]
impl ExpiryStore for SqliteStore {
    async fn live_secrets(&self, now: Timestamp) -> Result<Vec<(ClientKey, LiveSecrets)>, Error> {
        live(&self.reader, now).await
    }

    async fn ending_secrets(
        &self,
        from: Timestamp,
        after: Option<SecretId>,
        until: Timestamp,
        limit: u32,
    ) -> Result<Vec<Option<EndingSecret>>, Error> {
        ending(&self.reader, from, after, until, limit).await
    }
}

async fn live(pool: &SqlitePool, now: Timestamp) -> Result<Vec<(ClientKey, LiveSecrets)>, Error> {
    let rows = sqlx::query(columns::LIVE_SECRETS)
        .bind(now.unix_micros())
        .bind(i64::MAX)
        .fetch_all(pool)
        .await
        .map_err(fault)?;
    Ok(rows.iter().filter_map(|row| row::live_secrets(row).ok()).collect())
}

async fn ending(
    pool: &SqlitePool,
    from: Timestamp,
    after: Option<SecretId>,
    until: Timestamp,
    limit: u32,
) -> Result<Vec<Option<EndingSecret>>, Error> {
    let rows = sqlx::query(columns::ENDING_SECRETS)
        .bind(from.unix_micros())
        .bind(until.unix_micros())
        .bind(limit)
        .bind(after.map_or(Uuid::nil(), |id| id.0))
        .fetch_all(pool)
        .await
        .map_err(fault)?;
    Ok(rows.iter().map(|row| row::ending_secret(row).ok()).collect())
}
