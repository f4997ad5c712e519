//! Clients and secrets of other systems on Postgres.

use std::collections::HashSet;

use async_trait::async_trait;
use serde_json::{Value, json};
use sqlx::PgConnection;

use super::{PostgresStore, clients::number, fault::fault, lease::Lease, moment::Moment};
use crate::{
    domain::{
        Actor, Audience, ClientId, ClientRecord, Error, SecretHash, SecretId, StoredSecret,
        Timestamp,
    },
    store::{
        Creation, ForeignClient, ForeignStore, FoundClient,
        columns::{client_columns, secret_columns},
        foreign::NO_HASH,
        row::{self, texts},
    },
};

#[async_trait]
impl ForeignStore for PostgresStore {
    async fn has_foreign_secrets(&self) -> Result<bool, Error> {
        on_session!(self.primary, self.lane, |connection, lease| has_any(connection, lease))
    }

    async fn find_foreign(
        &self,
        client_id: &ClientId,
        now: Timestamp,
    ) -> Result<Vec<FoundClient>, Error> {
        on_session!(self.primary, self.lane, |connection, lease| find(
            connection, client_id, now, lease
        ))
    }

    async fn replace_foreign_hash(
        &self,
        secret: SecretId,
        from: &SecretHash,
        to: &SecretHash,
        actor: &Actor,
    ) -> Result<bool, Error> {
        on_session!(self.primary, self.lane, |connection, _| replace(
            connection, secret, from, to, actor
        ))
    }

    async fn import_clients(
        &self,
        clients: &[ForeignClient],
        actor: &Actor,
    ) -> Result<Vec<Creation>, Error> {
        on_session!(self.primary, self.lane, |connection, _| import(connection, clients, actor))
    }
}

async fn has_any(connection: &mut PgConnection, lease: Option<Lease>) -> Result<bool, Error> {
    sqlx::query_scalar(
        "select exists (select from client_secret where foreign_hash is not null)
         from (select require_lease($1, $2)) as leased",
    )
    .bind(lease.map(|lease| lease.node))
    .bind(lease.map(|lease| lease.renewals))
    .fetch_one(connection)
    .await
    .map_err(fault)
}

async fn find(
    connection: &mut PgConnection,
    client_id: &ClientId,
    now: Timestamp,
    lease: Option<Lease>,
) -> Result<Vec<FoundClient>, Error> {
    let rows = sqlx::query(concat!(
        "select ",
        client_columns!(),
        ", ",
        secret_columns!("secret.foreign_hash"),
        " from client left join client_secret as secret
              on secret.client = client.id and secret.foreign_hash is not null
                 and secret.retired_at is null and secret.burnt_at is null
                 and (secret.expires_at is null or secret.expires_at > $2)
         where client.client_id = $1 and (select require_lease($3, $4))
         order by secret.created_at desc, secret.id limit 3"
    ))
    .bind(client_id.as_str())
    .bind(Moment(now))
    .bind(lease.map(|lease| lease.node))
    .bind(lease.map(|lease| lease.renewals))
    .fetch_all(connection)
    .await
    .map_err(fault)?;
    Ok(rows.iter().map(row::found_client).collect::<Result<_, _>>()?)
}

/// A node may not change the hash of a secret, except by the function that it calls here.
async fn replace(
    connection: &mut PgConnection,
    secret: SecretId,
    from: &SecretHash,
    to: &SecretHash,
    actor: &Actor,
) -> Result<bool, Error> {
    sqlx::query_scalar(
        "select replace_foreign_hash($1, $2, $3)
         from (select set_config('jeton.actor', $4, true)) as actor",
    )
    .bind(secret.0)
    .bind(from.as_str())
    .bind(to.as_str())
    .bind(actor.as_str())
    .fetch_one(connection)
    .await
    .map_err(fault)
}

/// Inserts clients and their secrets in one statement, which takes them as JSON.
async fn import(
    connection: &mut PgConnection,
    clients: &[ForeignClient],
    actor: &Actor,
) -> Result<Vec<Creation>, Error> {
    let rows: Vec<_> = clients.iter().map(|client| client_row(&client.record)).collect();
    let secrets: Vec<_> =
        clients.iter().flat_map(|client| &client.secrets).map(secret_row).collect();
    let created: Vec<String> = sqlx::query_scalar(
        "with created as (
             insert into client (id, client_id, name, state, grant_types, scopes, default_scopes,
                                 audiences, default_audience, several_audiences, serves,
                                 token_lifetime_seconds, tokens_per_second, token_burst,
                                 live_tokens, not_before, created_at, labels, owner, note)
             select id, client_id, name, state, grant_types, scopes, default_scopes,
                    audiences, default_audience, several_audiences, serves,
                    token_lifetime_seconds, tokens_per_second, token_burst, live_tokens,
                    timestamptz 'epoch' + not_before * interval '1 microsecond',
                    timestamptz 'epoch' + created_at * interval '1 microsecond',
                    labels, owner, note
             from jsonb_to_recordset($1::text::jsonb) as given (
                      id uuid, client_id text, name text, state text, grant_types text[],
                      scopes text[], default_scopes text[], audiences text[],
                      default_audience text, several_audiences boolean, serves text[],
                      token_lifetime_seconds integer, tokens_per_second integer,
                      token_burst integer, live_tokens integer, not_before bigint,
                      created_at bigint, labels text[], owner text, note text),
                  (select set_config('jeton.actor', $3, true)) as actor
             order by client_id
             on conflict on constraint client_client_id_is_unique do nothing
             returning id, client_id),
         stored as (
             insert into client_secret (id, client, hash, foreign_hash, is_foreign, label,
                                        created_at, expires_at)
             select given.id, created.id, $4, given.hash, true, given.label,
                    timestamptz 'epoch' + given.created_at * interval '1 microsecond',
                    timestamptz 'epoch' + given.expires_at * interval '1 microsecond'
             from jsonb_to_recordset($2::text::jsonb) as given (
                      id uuid, client uuid, hash text, label text, created_at bigint,
                      expires_at bigint)
                  join created on created.id = given.client)
         select client_id from created",
    )
    .bind(Value::Array(rows).to_string())
    .bind(Value::Array(secrets).to_string())
    .bind(actor.as_str())
    .bind(NO_HASH)
    .fetch_all(connection)
    .await
    .map_err(fault)?;
    let created: HashSet<_> = created.into_iter().collect();
    let outcome = |client: &ForeignClient| {
        let is_created = created.contains(client.record.client.client_id.as_str());
        if is_created { Creation::Created } else { Creation::ClientIdTaken }
    };
    Ok(clients.iter().map(outcome).collect())
}

fn client_row(ClientRecord { client, about }: &ClientRecord) -> Value {
    let grants: Vec<_> = client.grants.iter().map(|grant| grant.as_str()).collect();
    json!({
        "id": client.key.0.to_string(),
        "client_id": client.client_id.as_str(),
        "name": client.name,
        "state": client.state.as_str(),
        "grant_types": grants,
        "scopes": texts(&client.scopes),
        "default_scopes": texts(&client.default_scopes),
        "audiences": texts(&client.audiences),
        "default_audience": client.default_audience.as_ref().map(Audience::as_str),
        "several_audiences": client.several_audiences,
        "serves": texts(&client.serves),
        "token_lifetime_seconds": client.token_lifetime.seconds(),
        "tokens_per_second": number(client.quota.tokens_per_second),
        "token_burst": number(client.quota.burst),
        "live_tokens": number(client.quota.live_tokens),
        "not_before": client.not_before.map(Timestamp::unix_micros),
        "created_at": client.created_at.unix_micros(),
        "labels": about.labels.texts(),
        "owner": about.owner,
        "note": about.note,
    })
}

fn secret_row(secret: &StoredSecret) -> Value {
    json!({
        "id": secret.id.0.to_string(),
        "client": secret.client.0.to_string(),
        "hash": secret.hash.as_str(),
        "label": secret.label,
        "created_at": secret.created_at.unix_micros(),
        "expires_at": secret.expires_at.map(Timestamp::unix_micros),
    })
}
