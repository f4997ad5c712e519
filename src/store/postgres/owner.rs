//! Whose a secret is, on Postgres.

use async_trait::async_trait;
use sqlx::PgConnection;

use super::{PostgresStore, fault::fault, moment::Moment};
use crate::{
    domain::{Error, SecretId, Timestamp},
    store::{
        OwnedSecret, OwnerStore,
        columns::{client_columns, secret_columns},
        row,
    },
};

#[async_trait]
impl OwnerStore for PostgresStore {
    async fn owned_secret(&self, id: SecretId) -> Result<Option<OwnedSecret>, Error> {
        on_session!(self.primary, self.lane, |connection, _| secret(connection, id))
    }

    async fn count_tokens(&self, secret: SecretId, now: Timestamp) -> Result<u64, Error> {
        on_session!(self.primary, self.lane, |connection, _| count(connection, secret, now))
    }
}

async fn secret(connection: &mut PgConnection, id: SecretId) -> Result<Option<OwnedSecret>, Error> {
    let row = sqlx::query(concat!(
        "select ",
        client_columns!(),
        ", ",
        secret_columns!("''"),
        " from client_secret as secret join client on client.id = secret.client
         where secret.id = $1"
    ))
    .bind(id.0)
    .fetch_optional(connection)
    .await
    .map_err(fault)?;
    Ok(row.as_ref().map(row::owned_secret))
}

async fn count(
    connection: &mut PgConnection,
    secret: SecretId,
    now: Timestamp,
) -> Result<u64, Error> {
    let count: i64 = sqlx::query_scalar(
        "select count(*) from access_token as token
         where token.secret = $1 and token.expires_at > $2
           and not exists (select from revoked_token where revoked_token.id = token.id)",
    )
    .bind(secret.0)
    .bind(Moment(now))
    .fetch_one(connection)
    .await
    .map_err(fault)?;
    Ok(u64::try_from(count).unwrap_or(0))
}
