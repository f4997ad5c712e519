//! Clients and their secrets on SQLite.

mod kept;
mod kept_secrets;

use sqlx::SqlitePool;

pub(super) use self::{
    kept::delete,
    kept_secrets::{burn as burn_kept, forget_hashes as forget_kept_hashes},
};
use super::{
    audit::{self, Statement},
    fault::fault,
};
use crate::{
    domain::{
        Actor, ClientId, ClientRecord, CredentialId, Error, LimitChange, MAX_LIVE_SECRETS,
        QuotaLimit, RequestKey, StoredSecret, Timestamp,
    },
    store::{
        ClientChange, Creation, FoundClient, Readable,
        columns::{client_columns, live_secret, secret_columns},
        row::{self, joined},
    },
};

/// Finds a client, and its credential of this id. It is one statement whether or not the client and
/// the secret exist, so the timing reveals neither.
pub(super) async fn find(
    pool: &SqlitePool,
    client_id: &ClientId,
    credential: Option<CredentialId>,
) -> Result<Option<FoundClient>, Error> {
    let row = sqlx::query(concat!(
        "select ",
        client_columns!(),
        ", ",
        secret_columns!(),
        " from client left join client_secret as secret
              on secret.client = client.id and secret.id = $2
         where client.client_id = $1"
    ))
    .bind(client_id.as_str())
    .bind(credential.map(|credential| credential.0))
    .fetch_optional(pool)
    .await
    .map_err(fault)?;
    Ok(row.as_ref().map(row::found_client).transpose()?)
}

pub(super) async fn create(
    writer: &SqlitePool,
    record: &ClientRecord,
    secret: &StoredSecret,
    actor: &Actor,
) -> Result<Creation, Error> {
    let statements = vec![insert_client(record, None), insert_secret(secret, None)];
    let rows = audit::change(writer, actor, statements).await?;
    Ok(if rows == 0 { Creation::ClientIdTaken } else { Creation::Created })
}

pub(super) async fn create_without_secret(
    writer: &SqlitePool,
    record: &ClientRecord,
    actor: &Actor,
) -> Result<Creation, Error> {
    let rows = audit::change(writer, actor, vec![insert_client(record, None)]).await?;
    Ok(if rows == 0 { Creation::ClientIdTaken } else { Creation::Created })
}

/// A request that may come again, and its actor.
type Request<'a> = Option<(&'a RequestKey, &'a Actor)>;

/// Inserts a client, unless its `client_id` is taken or this request came before.
pub(super) fn insert_client(
    ClientRecord { client, about }: &ClientRecord,
    request: Request<'_>,
) -> Statement {
    let grants: Vec<_> = client.grants.iter().map(|grant| grant.as_str()).collect();
    sqlx::query(
        "insert into client (id, client_id, name, state, grant_types, scopes, default_scopes,
                             audiences, serves, token_lifetime_seconds, not_before, created_at,
                             version, tokens_per_second, token_burst, live_tokens,
                             default_audience, several_audiences, labels, owner, note,
                             grantable_scopes, grantable_audiences)
         select $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18,
                $19, $20, $21, $22, $23
         where not exists (select 1 from request where actor = $24 and request_id = $25)
         on conflict (client_id) do nothing",
    )
    .bind(client.key.0)
    .bind(client.client_id.as_str().to_owned())
    .bind(client.name.clone())
    .bind(client.state.as_str())
    .bind(grants.join(" "))
    .bind(joined(&client.scopes))
    .bind(joined(&client.default_scopes))
    .bind(joined(&client.audiences))
    .bind(joined(&client.serves))
    .bind(i64::from(client.token_lifetime.seconds()))
    .bind(client.not_before.map(Timestamp::unix_micros))
    .bind(client.created_at.unix_micros())
    .bind(client.version)
    .bind(client.quota.tokens_per_second.map(QuotaLimit::get))
    .bind(client.quota.burst.map(QuotaLimit::get))
    .bind(client.quota.live_tokens.map(QuotaLimit::get))
    .bind(client.default_audience.as_ref().map(|default| default.as_str().to_owned()))
    .bind(client.several_audiences)
    .bind(about.labels.texts().join(" "))
    .bind(about.owner.clone())
    .bind(about.note.clone())
    .bind(joined(&about.grantable.scopes))
    .bind(joined(&about.grantable.audiences))
    .bind(request.map(|(_, actor)| actor.as_str().to_owned()))
    .bind(request.map(|(key, _)| key.id()))
}

/// Inserts a secret, unless its client is gone or has as many live ones as it may have, or this
/// request came before.
fn insert_secret(secret: &StoredSecret, request: Request<'_>) -> Statement {
    sqlx::query(concat!(
        "insert into client_secret (id, client, hash, label, created_at, expires_at)
         select $1, id, $3, $4,
                max($5, coalesce((select tag_key_since + 1 from installation), $5)), $6
         from client
         where id = $2
           and not exists (select 1 from request where actor = $8 and request_id = $9)
           and $7 > (select count(*) from client_secret as live
                                 where live.client = $2 and ",
        live_secret!("$5"),
        ")"
    ))
    .bind(secret.id.0)
    .bind(secret.client.0)
    .bind(secret.hash.as_str().to_owned())
    .bind(secret.label.clone())
    .bind(secret.created_at.unix_micros())
    .bind(secret.expires_at.map(Timestamp::unix_micros))
    .bind(MAX_LIVE_SECRETS)
    .bind(request.map(|(_, actor)| actor.as_str().to_owned()))
    .bind(request.map(|(key, _)| key.id()))
}

/// Lists the secrets of a client, without their hashes, as on Postgres.
pub(super) async fn list_secrets(
    pool: &SqlitePool,
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
    .fetch_all(pool)
    .await
    .map_err(fault)?;
    Ok(rows.iter().map(row::secret).collect())
}

pub(super) async fn change(
    writer: &SqlitePool,
    client_id: &ClientId,
    change: ClientChange,
    actor: &Actor,
) -> Result<bool, Error> {
    let statement = match change {
        ClientChange::State(state) => {
            sqlx::query("update client set state = $2, version = version + 1 where client_id = $1")
                .bind(client_id.as_str().to_owned())
                .bind(state.as_str())
        }
        ClientChange::Quota(quota) => sqlx::query(
            "update client
             set tokens_per_second = iif($2, tokens_per_second, $3),
                 token_burst = iif($4, token_burst, $5),
                 live_tokens = iif($6, live_tokens, $7),
                 version = version + 1
             where client_id = $1",
        )
        .bind(client_id.as_str().to_owned())
        .bind(quota.tokens_per_second == LimitChange::Keep)
        .bind(quota.tokens_per_second.limit().map(QuotaLimit::get))
        .bind(quota.burst == LimitChange::Keep)
        .bind(quota.burst.limit().map(QuotaLimit::get))
        .bind(quota.live_tokens == LimitChange::Keep)
        .bind(quota.live_tokens.limit().map(QuotaLimit::get)),
    };
    Ok(audit::change(writer, actor, vec![statement]).await? == 1)
}

/// Revokes all tokens of the client by incrementing its generation, not by comparing clocks. Each
/// token stores the generation in which it was issued.
pub(super) async fn revoke_tokens(
    writer: &SqlitePool,
    client_id: &ClientId,
    actor: &Actor,
) -> Result<bool, Error> {
    let statement = sqlx::query(
        "update client set generation = generation + 1, version = version + 1
         where client_id = $1",
    )
    .bind(client_id.as_str().to_owned());
    Ok(audit::change(writer, actor, vec![statement]).await? == 1)
}

pub(super) async fn add_secret(
    writer: &SqlitePool,
    secret: &StoredSecret,
    actor: &Actor,
) -> Result<bool, Error> {
    Ok(audit::change(writer, actor, vec![insert_secret(secret, None)]).await? == 1)
}
