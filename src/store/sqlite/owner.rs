//! A secret of which only the text is known, on SQLite.

use async_trait::async_trait;

use super::{
    SqliteStore,
    audit::{self, Statement},
    clients,
    fault::fault,
};
use crate::{
    domain::{Actor, ClientId, Error, SecretId, StoredSecret, Timestamp},
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

    async fn secret_with_hash(&self, id: SecretId) -> Result<Option<StoredSecret>, Error> {
        let row = sqlx::query(concat!(
            "select ",
            secret_columns!(),
            " from (select id, client, hash, label, created_at, expires_at, retired_at, burnt_at,
                            retire_at, kept_expires_at, forgotten_at, foreign_hash
                     from client_secret where id = $1
                     union all
                     select id, client, hash, label, created_at, expires_at, retired_at, burnt_at,
                            retire_at, kept_expires_at, forgotten_at, foreign_hash
                     from kept_secret where id = $1) as secret"
        ))
        .bind(id.0)
        .fetch_optional(&self.reader)
        .await
        .map_err(fault)?;
        Ok(row.as_ref().map(row::secret).transpose()?)
    }

    async fn burn_secret(
        &self,
        id: SecretId,
        now: Timestamp,
        actor: &Actor,
    ) -> Result<bool, Error> {
        let burn = || -> Statement {
            sqlx::query(
                "update client_secret set retired_at = coalesce(retired_at, $2), burnt_at = $2
                 where id = $1 and burnt_at is null",
            )
            .bind(id.0)
            .bind(now.unix_micros())
        };
        // At last once more, because its client may have come back meanwhile.
        let burned = audit::change(&self.writer, actor, vec![burn()]).await? == 1
            || clients::burn_kept(&self.writer, id, now, actor).await?
            || audit::change(&self.writer, actor, vec![burn()]).await? == 1;
        self.still_there().map(|()| burned)
    }

    async fn burn_kept_secret(
        &self,
        id: SecretId,
        now: Timestamp,
        actor: &Actor,
    ) -> Result<Option<ClientId>, Error> {
        clients::burn_kept(&self.writer, id, now, actor).await?;
        let client_id: Option<String> = sqlx::query_scalar(
            "select deleted_client.client_id
             from kept_secret join deleted_client on deleted_client.id = kept_secret.client
             where kept_secret.id = $1",
        )
        .bind(id.0)
        .fetch_optional(&self.reader)
        .await
        .map_err(fault)?;
        self.still_there()?;
        client_id.map(|text| ClientId::parse(&text).map_err(Error::internal)).transpose()
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
