//! When secrets end, on SQLite. The largest integer is the end of time.

use async_trait::async_trait;
use sqlx::SqlitePool;

use super::{SqliteStore, fault::fault};
use crate::{
    domain::{ClientKey, Error, Timestamp},
    store::{EndingSecret, ExpiryStore, LiveSecrets, row},
};

#[async_trait]
impl ExpiryStore for SqliteStore {
    async fn live_secrets(&self, now: Timestamp) -> Result<Vec<(ClientKey, LiveSecrets)>, Error> {
        live(&self.reader, now).await
    }

    async fn ending_secrets(
        &self,
        from: Timestamp,
        until: Timestamp,
        limit: u32,
    ) -> Result<Vec<EndingSecret>, Error> {
        ending(&self.reader, from, until, limit).await
    }
}

async fn live(pool: &SqlitePool, now: Timestamp) -> Result<Vec<(ClientKey, LiveSecrets)>, Error> {
    let rows = sqlx::query(
        "select client, count(*) as live,
                count(*) filter (where expires_at is null or expires_at = $2) as endless,
                min(expires_at) filter (where expires_at < $2) as first_end
         from client_secret
         where retired_at is null and burnt_at is null
           and (expires_at is null or expires_at > $1)
         group by client",
    )
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
    until: Timestamp,
    limit: u32,
) -> Result<Vec<EndingSecret>, Error> {
    let rows = sqlx::query(
        "select client.client_id, secret.id, secret.expires_at
         from client_secret as secret
              join client on client.id = secret.client and client.state = 'active'
         where secret.retired_at is null and secret.burnt_at is null
           and secret.expires_at between $1 and $2
         order by secret.expires_at limit $3",
    )
    .bind(from.unix_micros())
    .bind(until.unix_micros())
    .bind(limit)
    .fetch_all(pool)
    .await
    .map_err(fault)?;
    Ok(rows.iter().filter_map(|row| row::ending_secret(row).ok()).collect())
}
