//! When secrets end, on Postgres.

use async_trait::async_trait;
use sqlx::PgConnection;
use uuid::Uuid;

use super::{PostgresStore, fault::fault, moment::Moment};
use crate::{
    domain::{ClientKey, Error, SecretId, Timestamp},
    store::{EndingSecret, ExpiryStore, LiveSecrets, columns, row},
};

#[async_trait]
impl ExpiryStore for PostgresStore {
    async fn live_secrets(&self, now: Timestamp) -> Result<Vec<(ClientKey, LiveSecrets)>, Error> {
        on_session!(self.primary, self.lane, |connection, _| live(connection, now))
    }

    async fn ending_secrets(
        &self,
        from: Timestamp,
        after: Option<SecretId>,
        until: Timestamp,
        limit: u32,
    ) -> Result<Vec<Option<EndingSecret>>, Error> {
        on_session!(self.primary, self.lane, |connection, _| ending(
            connection, from, after, until, limit
        ))
    }
}

async fn live(
    connection: &mut PgConnection,
    now: Timestamp,
) -> Result<Vec<(ClientKey, LiveSecrets)>, Error> {
    let rows = sqlx::query(columns::LIVE_SECRETS)
        .bind(Moment(now))
        .bind(Moment(Timestamp::MAX))
        .fetch_all(connection)
        .await
        .map_err(fault)?;
    Ok(rows.iter().filter_map(|row| row::live_secrets(row).ok()).collect())
}

async fn ending(
    connection: &mut PgConnection,
    from: Timestamp,
    after: Option<SecretId>,
    until: Timestamp,
    limit: u32,
) -> Result<Vec<Option<EndingSecret>>, Error> {
    let rows = sqlx::query(columns::ENDING_SECRETS)
        .bind(Moment(from))
        .bind(Moment(until))
        .bind(i64::from(limit))
        .bind(after.map_or(Uuid::nil(), |id| id.0))
        .fetch_all(connection)
        .await
        .map_err(fault)?;
    Ok(rows.iter().map(|row| row::ending_secret(row).ok()).collect())
}
