//! Clients as administrators see them, on Postgres.

use async_trait::async_trait;
use sqlx::PgConnection;

use super::{PostgresStore, clients::number, fault::fault, moment::Moment};
use crate::{
    domain::{Actor, Audience, ClientId, ClientRecord, ClientState, Error, Scope},
    store::{
        ClientFilter, FeedStore, Readable, RecordStore,
        columns::{client_columns, client_record_columns},
        row::{self, texts},
    },
};

#[async_trait]
impl RecordStore for PostgresStore {
    async fn may_create_clients(&self) -> Result<bool, Error> {
        on_session!(self.primary, self.lane, |connection, _| may_create(connection))
    }

    async fn find_record(&self, client_id: &ClientId) -> Result<Option<ClientRecord>, Error> {
        on_session!(self.primary, self.lane, |connection, _| find(connection, client_id))
    }

    async fn list_records(
        &self,
        filter: &ClientFilter,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Vec<Readable<ClientRecord>>, Error> {
        on_session!(self.primary, self.lane, |connection, _| list(connection, filter, after, limit))
    }

    async fn update_record(
        &self,
        record: &ClientRecord,
        read: i64,
        actor: &Actor,
    ) -> Result<bool, Error> {
        let is_stored = on_session!(self.primary, self.lane, |connection, _| update(
            connection, record, read, actor
        ))?;
        self.settle().await.map(|()| is_stored)
    }
}

async fn may_create(connection: &mut PgConnection) -> Result<bool, Error> {
    sqlx::query_scalar("select has_table_privilege('client', 'insert')")
        .fetch_one(connection)
        .await
        .map_err(fault)
}

async fn find(
    connection: &mut PgConnection,
    client_id: &ClientId,
) -> Result<Option<ClientRecord>, Error> {
    let row = sqlx::query(concat!(
        "select ",
        client_record_columns!(),
        " from client where client_id = $1"
    ))
    .bind(client_id.as_str())
    .fetch_optional(connection)
    .await
    .map_err(fault)?;
    Ok(row.as_ref().map(row::client_record).transpose()?)
}

async fn list(
    connection: &mut PgConnection,
    filter: &ClientFilter,
    after: Option<&str>,
    limit: u32,
) -> Result<Vec<Readable<ClientRecord>>, Error> {
    // Ordered by bytes, as SQLite does, and not by the locale of the database. `lower` under the
    // collation "C" changes ASCII letters only, again as SQLite does.
    let rows = sqlx::query(concat!(
        "select ",
        client_record_columns!(),
        " from client
         where ($1::text is null or client_id collate \"C\" > $1)
           and ($3::text is null or position($3 in lower(client_id collate \"C\")) > 0
                or position($3 in lower(name collate \"C\")) > 0)
           and ($4::text is null or state = $4)
           and ($5::text is null or $5 = any (scopes))
           and ($6::text is null or $6 = any (audiences))
           and ($7::text is null or $7 = any (serves))
           and ($8::text[] = '{}' or labels @> $8)
           and ($9::text is null or owner = $9)
           and ($10::timestamptz is null or not exists (
                select from client_secret as secret
                where secret.client = client.id
                  and secret.retired_at is null and secret.burnt_at is null
                  and (secret.expires_at is null or secret.expires_at > $10)))
         order by client_id collate \"C\" nulls first limit $2"
    ))
    .bind(after)
    .bind(i64::from(limit))
    .bind(filter.folded_text())
    .bind(filter.state.map(ClientState::as_str))
    .bind(filter.scope.as_ref().map(Scope::as_str))
    .bind(filter.audience.as_ref().map(Audience::as_str))
    .bind(filter.serves.as_ref().map(Audience::as_str))
    .bind(texts(&filter.labels))
    .bind(filter.owner.as_deref())
    .bind(filter.without_live_secret_at.map(Moment))
    .fetch_all(connection)
    .await
    .map_err(fault)?;
    Ok(rows.iter().map(row::client_record).collect())
}

/// A trigger lets the version grow with every change of the row, edits by hand included, so the
/// version that was read proves that the row is as it was read.
async fn update(
    connection: &mut PgConnection,
    record: &ClientRecord,
    read: i64,
    actor: &Actor,
) -> Result<bool, Error> {
    let ClientRecord { client, about } = record;
    let grants: Vec<_> = client.grants.iter().map(|grant| grant.as_str()).collect();
    let rows = sqlx::query(
        "update client
         set name = $4, grant_types = $5, scopes = $6, default_scopes = $7, audiences = $8,
             serves = $9, token_lifetime_seconds = $10, tokens_per_second = $11,
             token_burst = $12, live_tokens = $13, labels = $14, owner = $15, note = $16,
             default_audience = $17, several_audiences = $18, grantable_scopes = $19,
             grantable_audiences = $20, version = version + 1
         from (select set_config('jeton.actor', $3, true)) as actor
         where id = $1 and version = $2",
    )
    .bind(client.key.0)
    .bind(read)
    .bind(actor.as_str())
    .bind(&client.name)
    .bind(grants)
    .bind(texts(&client.scopes))
    .bind(texts(&client.default_scopes))
    .bind(texts(&client.audiences))
    .bind(texts(&client.serves))
    .bind(i32::try_from(client.token_lifetime.seconds()).unwrap_or(i32::MAX))
    .bind(number(client.quota.tokens_per_second))
    .bind(number(client.quota.burst))
    .bind(number(client.quota.live_tokens))
    .bind(about.labels.texts())
    .bind(&about.owner)
    .bind(&about.note)
    .bind(client.default_audience.as_ref().map(Audience::as_str))
    .bind(client.several_audiences)
    .bind(texts(&about.grantable.scopes))
    .bind(texts(&about.grantable.audiences))
    .execute(connection)
    .await
    .map_err(fault)?
    .rows_affected();
    Ok(rows == 1)
}
