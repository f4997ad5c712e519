//! The installation on SQLite.

use async_trait::async_trait;
use sqlx::SqlitePool;

use super::{
    SqliteStore,
    audit::{self, Statement},
    fault::fault,
    feed::applied_everywhere,
};
use crate::{
    domain::{Actor, ClientId, Error, TagKey, Timestamp},
    store::{
        Adoption, Installation, InstallationStore, TagKeyRotation,
        columns::{self, earlier_secret},
        row,
    },
};

#[async_trait]
impl InstallationStore for SqliteStore {
    async fn installation(&self) -> Result<Installation, Error> {
        let row = sqlx::query(columns::TAG_KEYS)
            .fetch_optional(&self.reader)
            .await
            .map_err(fault)?
            .ok_or_else(row::no_installation)?;
        Ok(Installation { tag_keys: row::tag_keys(&row)? })
    }

    async fn revoke_all_tokens(&self, actor: &Actor) -> Result<(), Error> {
        let revoke = sqlx::query("update installation set generation = generation + 1");
        let revoked = self.change_installation(actor, revoke).await?;
        if revoked { Ok(()) } else { Err(row::no_installation()) }
    }

    async fn offer_tag_key(&self, key: &TagKey, actor: &Actor) -> Result<bool, Error> {
        let offer = sqlx::query(
            "update installation set next_tag_key = coalesce(next_tag_key, $1)
             where previous_tag_key is null",
        )
        .bind(key.as_bytes().to_vec());
        self.change_installation(actor, offer).await
    }

    /// There is no list of nodes here, so nodes of earlier versions are not found.
    async fn adopt_tag_key(&self, now: Timestamp, actor: &Actor) -> Result<Adoption, Error> {
        let adopt = sqlx::query(
            "update installation
             set previous_tag_key = tag_key, tag_key = next_tag_key, next_tag_key = null,
                 tag_key_since = $1
             where next_tag_key is not null",
        )
        .bind(now.unix_micros());
        let adopted = self.change_installation(actor, adopt).await?;
        Ok(if adopted { Adoption::Adopted } else { Adoption::NotOffered })
    }

    async fn retire_tag_key(&self, actor: &Actor) -> Result<bool, Error> {
        let retire = sqlx::query(
            "update installation set previous_tag_key = null where previous_tag_key is not null",
        );
        self.change_installation(actor, retire).await
    }

    async fn retire_earlier_secrets(
        &self,
        now: Timestamp,
        limit: u32,
        actor: &Actor,
    ) -> Result<u64, Error> {
        let retire = sqlx::query(concat!(
            "update client_secret set retired_at = $1
             where id in (select secret.id from client_secret as secret where ",
            earlier_secret!(),
            " limit $2)"
        ))
        .bind(now.unix_micros())
        .bind(limit);
        audit::change(&self.writer, actor, vec![retire]).await
    }

    async fn earlier_secrets(&self, now: Timestamp) -> Result<Vec<(ClientId, u64)>, Error> {
        let rows = sqlx::query(columns::EARLIER_SECRETS)
            .bind(now.unix_micros())
            .fetch_all(&self.reader)
            .await
            .map_err(fault)?;
        Ok(rows.iter().filter_map(|row| row::earlier_secrets(row).ok()).collect())
    }

    async fn tag_key_rotation(&self, now: Timestamp) -> Result<TagKeyRotation, Error> {
        rotation(&self.reader, now).await
    }
}

impl SqliteStore {
    /// Changes the row of the installation, and returns once every node has applied that. False if
    /// the statement changed nothing.
    async fn change_installation(
        &self,
        actor: &Actor,
        statement: Statement,
    ) -> Result<bool, Error> {
        let changed = audit::change(&self.writer, actor, vec![statement]).await? > 0;
        applied_everywhere().await;
        Ok(changed)
    }
}

async fn rotation(pool: &SqlitePool, now: Timestamp) -> Result<TagKeyRotation, Error> {
    let row = sqlx::query(columns::TAG_KEY_ROTATION)
        .bind(now.unix_micros())
        .fetch_optional(pool)
        .await
        .map_err(fault)?
        .ok_or_else(row::no_installation)?;
    Ok(row::tag_key_rotation(&row)?)
}
