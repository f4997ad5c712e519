//! Clients and their secrets on Postgres. Statements that change data pass the actor to the audit
//! triggers in the setting `jeton.actor`.

mod kept;
mod once;

use std::sync::Arc;

use sqlx::{PgConnection, Postgres, postgres::PgArguments, query::Query};

pub(super) use self::{kept::delete, once::add_secret};
use super::{fault::fault, lease::Lease, moment::Moment};
use crate::{
    domain::{
        Actor, Audience, ClientId, ClientRecord, CredentialId, Error, LimitChange, QuotaLimit,
        RequestKey, StoredSecret,
    },
    store::{
        ClientChange, Creation, FoundClient, Readable,
        columns::{client_columns, secret_columns},
        row::{self, texts},
    },
};

/// Finds a client, and its credential of this id. It is one statement whether or not the client and
/// the secret exist, so the timing reveals neither. Without a credential it reads no hash, because
/// not every role may.
pub(super) async fn find(
    connection: &mut PgConnection,
    client_id: &ClientId,
    credential: Option<CredentialId>,
    lease: Option<Lease>,
) -> Result<Option<FoundClient>, Error> {
    let Some(CredentialId(credential)) = credential else {
        return find_alone(connection, client_id, lease).await;
    };
    let row = sqlx::query(concat!(
        "select ",
        client_columns!(),
        ", ",
        secret_columns!(),
        " from client left join client_secret as secret
              on secret.client = client.id and secret.id = $2
         where client.client_id = $1 and (select require_lease($3, $4))"
    ))
    .bind(client_id.as_str())
    .bind(credential)
    .bind(lease.map(|lease| lease.node))
    .bind(lease.map(|lease| lease.renewals))
    .fetch_optional(connection)
    .await
    .map_err(fault)?;
    Ok(row.as_ref().map(row::found_client).transpose()?)
}

async fn find_alone(
    connection: &mut PgConnection,
    client_id: &ClientId,
    lease: Option<Lease>,
) -> Result<Option<FoundClient>, Error> {
    let row = sqlx::query(concat!(
        "select ",
        client_columns!(),
        " from client where client_id = $1 and (select require_lease($2, $3))"
    ))
    .bind(client_id.as_str())
    .bind(lease.map(|lease| lease.node))
    .bind(lease.map(|lease| lease.renewals))
    .fetch_optional(connection)
    .await
    .map_err(fault)?;
    let client = row.as_ref().map(row::client).transpose()?;
    Ok(client.map(|client| FoundClient { client: Arc::new(client), credential: None }))
}

/// Inserts a client unless its `client_id` is taken. [`bind_client`] has its parameters.
macro_rules! insert_client {
    () => {
        "insert into client (id, client_id, name, state, grant_types, scopes, default_scopes,
                             audiences, serves, token_lifetime_seconds, not_before, created_at,
                             version, tokens_per_second, token_burst, live_tokens,
                             default_audience, several_audiences, labels, owner, note,
                             grantable_scopes, grantable_audiences)
         select $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $15, $16, $17, $18, $19,
                $20, $21, $22, $23, $24
         from (select set_config('jeton.actor', $14, true)) as actor
         on conflict on constraint client_client_id_is_unique do nothing"
    };
}

type Statement<'q> = Query<'q, Postgres, PgArguments>;

fn bind_client<'q>(
    statement: Statement<'q>,
    ClientRecord { client, about }: &'q ClientRecord,
    actor: &'q Actor,
) -> Statement<'q> {
    let grants: Vec<_> = client.grants.iter().map(|grant| grant.as_str()).collect();
    statement
        .bind(client.key.0)
        .bind(client.client_id.as_str())
        .bind(&client.name)
        .bind(client.state.as_str())
        .bind(grants)
        .bind(texts(&client.scopes))
        .bind(texts(&client.default_scopes))
        .bind(texts(&client.audiences))
        .bind(texts(&client.serves))
        .bind(i32::try_from(client.token_lifetime.seconds()).unwrap_or(i32::MAX))
        .bind(client.not_before.map(Moment))
        .bind(Moment(client.created_at))
        .bind(client.version)
        .bind(actor.as_str())
        .bind(number(client.quota.tokens_per_second))
        .bind(number(client.quota.burst))
        .bind(number(client.quota.live_tokens))
        .bind(client.default_audience.as_ref().map(Audience::as_str))
        .bind(client.several_audiences)
        .bind(about.labels.texts())
        .bind(&about.owner)
        .bind(&about.note)
        .bind(texts(&about.grantable.scopes))
        .bind(texts(&about.grantable.audiences))
}

/// Inserts a client and its first secret.
pub(super) async fn create(
    connection: &mut PgConnection,
    record: &ClientRecord,
    secret: &StoredSecret,
    actor: &Actor,
) -> Result<Creation, Error> {
    let rows = insert(connection, record, secret, None, actor).await.map_err(fault)?;
    Ok(if rows == 0 { Creation::ClientIdTaken } else { Creation::Created })
}

/// Inserts a client, its first secret, and the request for them if it may come again, in one
/// statement: everything is stored or nothing.
async fn insert(
    connection: &mut PgConnection,
    record: &ClientRecord,
    secret: &StoredSecret,
    request: Option<&RequestKey>,
    actor: &Actor,
) -> Result<u64, sqlx::Error> {
    let statement = sqlx::query(concat!(
        "with created as (",
        insert_client!(),
        " returning id),
         noted as (
             insert into request (actor, request_id, digest, client, secret)
             select $14, $30, $31, id, $25 from created where $30::uuid is not null)
         insert into client_secret (id, client, hash, label, created_at, expires_at)
         select $25, id, $26, $27,
                greatest($28, (select tag_key_since + interval '1 microsecond' from installation)),
                $29
         from created"
    ));
    let statement = bind_client(statement, record, actor)
        .bind(secret.id.0)
        .bind(secret.hash.as_str())
        .bind(&secret.label)
        .bind(Moment(secret.created_at))
        .bind(secret.expires_at.map(Moment))
        .bind(request.map(RequestKey::id))
        .bind(request.map(|request| &request.digest()[..]));
    Ok(statement.execute(connection).await?.rows_affected())
}

/// Inserts a client that has no secret.
pub(super) async fn create_without_secret(
    connection: &mut PgConnection,
    record: &ClientRecord,
    actor: &Actor,
) -> Result<Creation, Error> {
    let statement = bind_client(sqlx::query(insert_client!()), record, actor);
    let rows = statement.execute(connection).await.map_err(fault)?.rows_affected();
    Ok(if rows == 0 { Creation::ClientIdTaken } else { Creation::Created })
}

/// Lists the secrets of a client, without their hashes, because not every role may read those.
pub(super) async fn list_secrets(
    connection: &mut PgConnection,
    client_id: &ClientId,
) -> Result<Vec<Readable<StoredSecret>>, Error> {
    let rows = sqlx::query(concat!(
        "select ",
        secret_columns!("''"),
        " from client_secret as secret join client on client.id = secret.client
         where client.client_id = $1
         order by secret.created_at, secret.id"
    ))
    .bind(client_id.as_str())
    .fetch_all(connection)
    .await
    .map_err(fault)?;
    Ok(rows.iter().map(row::secret).collect())
}

pub(super) async fn change(
    connection: &mut PgConnection,
    client_id: &ClientId,
    change: ClientChange,
    actor: &Actor,
) -> Result<bool, Error> {
    let statement = match change {
        ClientChange::State(state) => sqlx::query(
            "update client set state = $3, version = version + 1
             from (select set_config('jeton.actor', $2, true)) as actor
             where client_id = $1",
        )
        .bind(client_id.as_str())
        .bind(actor.as_str())
        .bind(state.as_str()),
        ClientChange::Quota(quota) => sqlx::query(
            "update client
             set tokens_per_second = case when $3 then tokens_per_second else $4 end,
                 token_burst = case when $5 then token_burst else $6 end,
                 live_tokens = case when $7 then live_tokens else $8 end,
                 version = version + 1
             from (select set_config('jeton.actor', $2, true)) as actor
             where client_id = $1",
        )
        .bind(client_id.as_str())
        .bind(actor.as_str())
        .bind(quota.tokens_per_second == LimitChange::Keep)
        .bind(number(quota.tokens_per_second.limit()))
        .bind(quota.burst == LimitChange::Keep)
        .bind(number(quota.burst.limit()))
        .bind(quota.live_tokens == LimitChange::Keep)
        .bind(number(quota.live_tokens.limit())),
    };
    let rows = statement.execute(connection).await.map_err(fault)?.rows_affected();
    Ok(rows == 1)
}

/// A limit as its column holds it.
pub(super) fn number(limit: Option<QuotaLimit>) -> Option<i32> {
    limit.map(|limit| i32::try_from(limit.get()).unwrap_or(i32::MAX))
}

/// Revokes all tokens of the client by incrementing its generation, not by comparing clocks. Each
/// token stores the generation in which it was issued.
pub(super) async fn revoke_tokens(
    connection: &mut PgConnection,
    client_id: &ClientId,
    actor: &Actor,
) -> Result<bool, Error> {
    let rows = sqlx::query(
        "update client set generation = generation + 1, version = version + 1
         from (select set_config('jeton.actor', $2, true)) as actor
         where client_id = $1",
    )
    .bind(client_id.as_str())
    .bind(actor.as_str())
    .execute(connection)
    .await
    .map_err(fault)?
    .rows_affected();
    Ok(rows == 1)
}
