//! Clients as administrators see them, on SQLite.

use async_trait::async_trait;
use serde_json::json;
use sqlx::SqlitePool;

use super::{SqliteStore, audit, fault::fault, feed};
use crate::{
    domain::{
        Actor, Audience, ClientId, ClientRecord, ClientState, Error, QuotaLimit, Scope, Timestamp,
    },
    store::{
        ClientFilter, Readable, RecordStore,
        columns::{client_columns, client_record_columns},
        row::{self, joined, texts},
    },
};

#[async_trait]
impl RecordStore for SqliteStore {
    async fn find_record(&self, client_id: &ClientId) -> Result<Option<ClientRecord>, Error> {
        let row = sqlx::query(concat!(
            "select ",
            client_record_columns!(),
            " from client where client_id = $1"
        ))
        .bind(client_id.as_str())
        .fetch_optional(&self.reader)
        .await
        .map_err(fault)?;
        Ok(row.as_ref().map(row::client_record).transpose()?)
    }

    async fn list_records(
        &self,
        filter: &ClientFilter,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Vec<Readable<ClientRecord>>, Error> {
        list(&self.reader, filter, after, limit).await
    }

    async fn update_record(
        &self,
        record: &ClientRecord,
        read: i64,
        actor: &Actor,
    ) -> Result<bool, Error> {
        let is_stored = update(&self.writer, record, read, actor).await?;
        feed::applied_everywhere().await;
        Ok(is_stored)
    }
}

/// Lists are texts with a space between the members, so a member is looked for between spaces.
async fn list(
    pool: &SqlitePool,
    filter: &ClientFilter,
    after: Option<&str>,
    limit: u32,
) -> Result<Vec<Readable<ClientRecord>>, Error> {
    let rows = sqlx::query(concat!(
        "select ",
        client_record_columns!(),
        " from client
         where ($1 is null or client_id > $1)
           and ($3 is null or instr(lower(client_id), $3) > 0 or instr(lower(name), $3) > 0)
           and ($4 is null or state = $4)
           and ($5 is null or instr(' ' || scopes || ' ', ' ' || $5 || ' ') > 0)
           and ($6 is null or instr(' ' || audiences || ' ', ' ' || $6 || ' ') > 0)
           and ($7 is null or instr(' ' || serves || ' ', ' ' || $7 || ' ') > 0)
           and not exists (select 1 from json_each($8)
                           where instr(' ' || labels || ' ', ' ' || value || ' ') = 0)
           and ($9 is null or owner = $9)
           and ($10 is null or not exists (
                select 1 from client_secret as secret
                where secret.client = client.id
                  and secret.retired_at is null and secret.burnt_at is null
                  and (secret.expires_at is null or secret.expires_at > $10)))
         order by client_id limit $2"
    ))
    .bind(after)
    .bind(limit)
    .bind(filter.folded_text())
    .bind(filter.state.map(ClientState::as_str))
    .bind(filter.scope.as_ref().map(Scope::as_str))
    .bind(filter.audience.as_ref().map(Audience::as_str))
    .bind(filter.serves.as_ref().map(Audience::as_str))
    .bind(json!(texts(&filter.labels)).to_string())
    .bind(filter.owner.as_deref())
    .bind(filter.without_live_secret_at.map(Timestamp::unix_micros))
    .fetch_all(pool)
    .await
    .map_err(fault)?;
    Ok(rows.iter().map(row::client_record).collect())
}

/// A trigger lets the version grow with every change of the row, edits by hand included, so the
/// version that was read proves that the row is as it was read.
async fn update(
    writer: &SqlitePool,
    record: &ClientRecord,
    read: i64,
    actor: &Actor,
) -> Result<bool, Error> {
    let ClientRecord { client, about } = record;
    let grants: Vec<_> = client.grants.iter().map(|grant| grant.as_str()).collect();
    let statement = sqlx::query(
        "update client
         set name = $3, grant_types = $4, scopes = $5, default_scopes = $6, audiences = $7,
             serves = $8, token_lifetime_seconds = $9, tokens_per_second = $10,
             token_burst = $11, live_tokens = $12, labels = $13, owner = $14, note = $15,
             default_audience = $16, several_audiences = $17, grantable_scopes = $18,
             grantable_audiences = $19, version = version + 1
         where id = $1 and version = $2",
    )
    .bind(client.key.0)
    .bind(read)
    .bind(client.name.clone())
    .bind(grants.join(" "))
    .bind(joined(&client.scopes))
    .bind(joined(&client.default_scopes))
    .bind(joined(&client.audiences))
    .bind(joined(&client.serves))
    .bind(i64::from(client.token_lifetime.seconds()))
    .bind(client.quota.tokens_per_second.map(QuotaLimit::get))
    .bind(client.quota.burst.map(QuotaLimit::get))
    .bind(client.quota.live_tokens.map(QuotaLimit::get))
    .bind(about.labels.texts().join(" "))
    .bind(about.owner.clone())
    .bind(about.note.clone())
    .bind(client.default_audience.as_ref().map(ToString::to_string))
    .bind(client.several_audiences)
    .bind(joined(&about.grantable.scopes))
    .bind(joined(&about.grantable.audiences));
    Ok(audit::change(writer, actor, vec![statement]).await? == 1)
}
