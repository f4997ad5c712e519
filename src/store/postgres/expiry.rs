//! When secrets end, on Postgres.

use async_trait::async_trait;
use sqlx::PgConnection;

use super::{PostgresStore, fault::fault, moment::Moment};
use crate::{
    domain::{ClientKey, Error, Timestamp},
    store::{EndingSecret, ExpiryStore, LiveSecrets, row},
};

#[async_trait]
impl ExpiryStore for PostgresStore {
    async fn live_secrets(&self, now: Timestamp) -> Result<Vec<(ClientKey, LiveSecrets)>, Error> {
        on_session!(self.primary, self.lane, |connection, _| live(connection, now))
    }

    async fn ending_secrets(
        &self,
        from: Timestamp,
        until: Timestamp,
        limit: u32,
    ) -> Result<Vec<EndingSecret>, Error> {
        on_session!(self.primary, self.lane, |connection, _| ending(connection, from, until, limit))
    }
}

async fn live(
    connection: &mut PgConnection,
    now: Timestamp,
) -> Result<Vec<(ClientKey, LiveSecrets)>, Error> {
    let rows = sqlx::query(
        "select client, count(*) as live,
                count(*) filter (where expires_at is null or expires_at = 'infinity') as endless,
                min(expires_at) filter (where expires_at < 'infinity') as first_end
         from client_secret
         where retired_at is null and burnt_at is null
           and (expires_at is null or expires_at > $1)
         group by client",
    )
    .bind(Moment(now))
    .fetch_all(connection)
    .await
    .map_err(fault)?;
    Ok(rows.iter().filter_map(|row| row::live_secrets(row).ok()).collect())
}

async fn ending(
    connection: &mut PgConnection,
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
    .bind(Moment(from))
    .bind(Moment(until))
    .bind(i64::from(limit))
    .fetch_all(connection)
    .await
    .map_err(fault)?;
    Ok(rows.iter().filter_map(|row| row::ending_secret(row).ok()).collect())
}
