//! A secret of which only the text is known, on Postgres.

use async_trait::async_trait;
use sqlx::PgConnection;

use super::{PostgresStore, fault::fault, lease::Lease, moment::Moment};
use crate::{
    domain::{Actor, ClientId, Error, SecretId, StoredSecret, Timestamp},
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

    async fn secret_with_hash(&self, id: SecretId) -> Result<Option<StoredSecret>, Error> {
        on_session!(self.primary, self.lane, |connection, lease| with_hash(connection, id, lease))
    }

    async fn burn_secret(
        &self,
        id: SecretId,
        _now: Timestamp,
        actor: &Actor,
    ) -> Result<bool, Error> {
        on_session!(self.primary, self.lane, |connection, _| burn(connection, id, actor))
    }

    async fn burn_kept_secret(
        &self,
        id: SecretId,
        _now: Timestamp,
        actor: &Actor,
    ) -> Result<Option<ClientId>, Error> {
        on_session!(self.primary, self.lane, |connection, _| burn_kept(connection, id, actor))
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

async fn with_hash(
    connection: &mut PgConnection,
    id: SecretId,
    lease: Option<Lease>,
) -> Result<Option<StoredSecret>, Error> {
    let row = sqlx::query(concat!(
        "select ",
        secret_columns!(),
        " from (select * from client_secret where client_secret.id = $1
                 union all select * from kept_secret($1)) as secret
          where (select require_lease($2, $3))"
    ))
    .bind(id.0)
    .bind(lease.map(|lease| lease.node))
    .bind(lease.map(|lease| lease.renewals))
    .fetch_optional(connection)
    .await
    .map_err(fault)?;
    Ok(row.as_ref().map(row::secret).transpose()?)
}

/// By a function, because a node may not change secrets otherwise.
async fn burn(connection: &mut PgConnection, id: SecretId, actor: &Actor) -> Result<bool, Error> {
    sqlx::query_scalar(
        "select burn_secret($1) from (select set_config('jeton.actor', $2, true)) as actor",
    )
    .bind(id.0)
    .bind(actor.as_str())
    .fetch_one(connection)
    .await
    .map_err(fault)
}

async fn burn_kept(
    connection: &mut PgConnection,
    id: SecretId,
    actor: &Actor,
) -> Result<Option<ClientId>, Error> {
    let client_id: Option<String> = sqlx::query_scalar(
        "select burn_kept_secret($1) from (select set_config('jeton.actor', $2, true)) as actor",
    )
    .bind(id.0)
    .bind(actor.as_str())
    .fetch_one(connection)
    .await
    .map_err(fault)?;
    client_id.map(|text| ClientId::parse(&text).map_err(Error::internal)).transpose()
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
