//! The installation on Postgres. Its row belongs to the owner of the tables, so operators change it
//! through functions.

use async_trait::async_trait;
use sqlx::PgConnection;

use super::{PostgresStore, fault::fault, moment::Moment, nodes::applied_everywhere};
use crate::{
    domain::{Actor, ClientId, Error, TagKey, Timestamp},
    store::{
        Adoption, Installation, InstallationStore, TagKeyRotation,
        columns::{self, earlier_secret},
        row,
    },
};

#[async_trait]
impl InstallationStore for PostgresStore {
    async fn installation(&self) -> Result<Installation, Error> {
        on_session!(self.primary, self.lane, |connection, _| read(connection))
    }

    async fn revoke_all_tokens(&self, actor: &Actor) -> Result<(), Error> {
        let revoked =
            on_session!(self.primary, self.lane, |connection, _| revoke_all(connection, actor))?;
        if !revoked {
            return Err(row::no_installation());
        }
        applied_everywhere(&self.primary, self.lane).await
    }

    async fn offer_tag_key(&self, key: &TagKey, actor: &Actor) -> Result<bool, Error> {
        let offered =
            on_session!(self.primary, self.lane, |connection, _| offer(connection, key, actor))?;
        applied_everywhere(&self.primary, self.lane).await?;
        Ok(offered)
    }

    async fn adopt_tag_key(&self, _now: Timestamp, actor: &Actor) -> Result<Adoption, Error> {
        let adoption =
            on_session!(self.primary, self.lane, |connection, _| adopt(connection, actor))?;
        applied_everywhere(&self.primary, self.lane).await?;
        Ok(adoption)
    }

    async fn retire_tag_key(&self, actor: &Actor) -> Result<bool, Error> {
        let retired =
            on_session!(self.primary, self.lane, |connection, _| retire(connection, actor))?;
        applied_everywhere(&self.primary, self.lane).await?;
        Ok(retired)
    }

    async fn retire_earlier_secrets(
        &self,
        now: Timestamp,
        limit: u32,
        actor: &Actor,
    ) -> Result<u64, Error> {
        on_session!(self.primary, self.lane, |connection, _| retire_earlier(
            connection, now, limit, actor
        ))
    }

    async fn earlier_secrets(&self, now: Timestamp) -> Result<Vec<(ClientId, u64)>, Error> {
        on_session!(self.primary, self.lane, |connection, _| earlier(connection, now))
    }

    async fn tag_key_rotation(&self, now: Timestamp) -> Result<TagKeyRotation, Error> {
        on_session!(self.primary, self.lane, |connection, _| rotation(connection, now))
    }
}

async fn read(connection: &mut PgConnection) -> Result<Installation, Error> {
    let row = sqlx::query(columns::TAG_KEYS)
        .fetch_optional(connection)
        .await
        .map_err(fault)?
        .ok_or_else(row::no_installation)?;
    Ok(Installation { tag_keys: row::tag_keys(&row)? })
}

async fn revoke_all(connection: &mut PgConnection, actor: &Actor) -> Result<bool, Error> {
    sqlx::query_scalar(
        "select revoke_all_tokens() from (select set_config('jeton.actor', $1, true)) as actor",
    )
    .bind(actor.as_str())
    .fetch_one(connection)
    .await
    .map_err(fault)
}

async fn offer(connection: &mut PgConnection, key: &TagKey, actor: &Actor) -> Result<bool, Error> {
    sqlx::query_scalar(
        "select offer_tag_key($1) from (select set_config('jeton.actor', $2, true)) as actor",
    )
    .bind(&key.as_bytes()[..])
    .bind(actor.as_str())
    .fetch_one(connection)
    .await
    .map_err(fault)
}

async fn adopt(connection: &mut PgConnection, actor: &Actor) -> Result<Adoption, Error> {
    let earlier_nodes: Option<i64> = sqlx::query_scalar(
        "select adopt_tag_key() from (select set_config('jeton.actor', $1, true)) as actor",
    )
    .bind(actor.as_str())
    .fetch_one(connection)
    .await
    .map_err(fault)?;
    Ok(match earlier_nodes.map(u64::try_from) {
        None => Adoption::NotOffered,
        Some(Ok(0)) => Adoption::Adopted,
        Some(earlier) => Adoption::EarlierNodes(earlier.unwrap_or(0)),
    })
}

async fn retire(connection: &mut PgConnection, actor: &Actor) -> Result<bool, Error> {
    sqlx::query_scalar(
        "select retire_tag_key() from (select set_config('jeton.actor', $1, true)) as actor",
    )
    .bind(actor.as_str())
    .fetch_one(connection)
    .await
    .map_err(fault)
}

async fn retire_earlier(
    connection: &mut PgConnection,
    now: Timestamp,
    limit: u32,
    actor: &Actor,
) -> Result<u64, Error> {
    let retired = sqlx::query(concat!(
        "update client_secret set retired_at = $1
         from (select set_config('jeton.actor', $2, true)) as actor
         where id in (select secret.id from client_secret as secret where ",
        earlier_secret!(),
        " limit $3)"
    ))
    .bind(Moment(now))
    .bind(actor.as_str())
    .bind(i64::from(limit))
    .execute(connection)
    .await
    .map_err(fault)?;
    Ok(retired.rows_affected())
}

async fn earlier(
    connection: &mut PgConnection,
    now: Timestamp,
) -> Result<Vec<(ClientId, u64)>, Error> {
    let rows = sqlx::query(columns::EARLIER_SECRETS)
        .bind(Moment(now))
        .fetch_all(connection)
        .await
        .map_err(fault)?;
    Ok(rows.iter().filter_map(|row| row::earlier_secrets(row).ok()).collect())
}

async fn rotation(connection: &mut PgConnection, now: Timestamp) -> Result<TagKeyRotation, Error> {
    let row = sqlx::query(columns::TAG_KEY_ROTATION)
        .bind(Moment(now))
        .fetch_optional(connection)
        .await
        .map_err(fault)?
        .ok_or_else(row::no_installation)?;
    Ok(row::tag_key_rotation(&row)?)
}
