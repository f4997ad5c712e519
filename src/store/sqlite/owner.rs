//! Whose a secret is, on SQLite.

use async_trait::async_trait;

use super::{SqliteStore, fault::fault};
use crate::{
    domain::{Error, SecretId, Timestamp},
    store::{
        OwnedSecret, OwnerStore,
        columns::{client_columns, secret_columns},
        row,
    },
};

#[async_trait]
impl OwnerStore for SqliteStore {
    async fn owned_secret(&self, id: SecretId) -> Result<Option<OwnedSecret>, Error> {
        let row = sqlx::query(concat!(
            "select ",
            client_columns!(),
            ", ",
            secret_columns!("''"),
            " from client_secret as secret join client on client.id = secret.client
             where secret.id = $1"
        ))
        .bind(id.0)
        .fetch_optional(&self.reader)
        .await
        .map_err(fault)?;
        Ok(row.as_ref().map(row::owned_secret))
    }

    async fn count_tokens(&self, secret: SecretId, now: Timestamp) -> Result<u64, Error> {
        let count: i64 = sqlx::query_scalar(
            "select count(*) from access_token as token
             where token.secret = $1 and token.expires_at > $2
               and not exists (select 1 from revoked_token where revoked_token.id = token.id)",
        )
        .bind(secret.0)
        .bind(now.unix_micros())
        .fetch_one(&self.reader)
        .await
        .map_err(fault)?;
        Ok(u64::try_from(count).unwrap_or(0))
    }
}
