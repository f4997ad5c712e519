//! Tokens on SQLite, one statement per function.

use serde_json::json;
use sqlx::SqlitePool;
use std::time::Duration;
use uuid::Uuid;

use super::{audit, fault::fault};
use crate::{
    domain::{AccessToken, Actor, Error, Timestamp, TokenId, TokenLifetime},
    store::{
        FoundOrFault, Sizes, Upkeep,
        columns::token_columns,
        row::{self, joined},
    },
};

/// Tokens per delete statement of upkeep. Few, so that the writer is never held for long.
const SLICE: i64 = 1_000;

/// Maximum slices per round of upkeep. The next round deletes the rest.
const SLICES: u32 = 1_000;

/// Records a batch of tokens in one statement, and so with one flush to disk. Returns the ids of
/// the recorded tokens. The others are refused: since the caller was authenticated, the client was
/// disabled or its secret was taken out of use. Tokens are also refused if a manual edit left
/// generations whose sum overflows, so that they do not fail the rest of the batch.
pub(super) async fn record(
    pool: &SqlitePool,
    tokens: &[AccessToken],
) -> Result<Vec<TokenId>, Error> {
    let rows: Vec<_> = tokens
        .iter()
        .map(|token| {
            json!({
                "id": hex(token.id.0.as_bytes()),
                "digest": hex(token.digest.as_bytes()),
                "client": hex(token.client.0.as_bytes()),
                "secret": hex(token.credential.0.as_bytes()),
                "scopes": joined(&token.granted.scopes),
                "audiences": joined(&token.granted.audiences),
                "issued_at": token.issued_at.unix_micros(),
                "expires_at": token.expires_at.unix_micros(),
            })
        })
        .collect();
    let recorded: Vec<Uuid> = sqlx::query_scalar(
        "insert into access_token (id, digest, client, secret, scopes, audiences, issued_at,
                                   expires_at, generation)
         select unhex(value ->> 'id'), unhex(value ->> 'digest'), client.id, secret.id,
                value ->> 'scopes', value ->> 'audiences', value ->> 'issued_at',
                value ->> 'expires_at', client.generation + installation.generation
         from json_each($1) as token
              join client on client.id = unhex(value ->> 'client') and client.state = 'active'
              join client_secret as secret on secret.id = unhex(value ->> 'secret')
                   and secret.client = client.id
                   and secret.retired_at is null and secret.burnt_at is null
                   and (secret.expires_at is null or secret.expires_at > value ->> 'issued_at')
              join installation on typeof(installation.generation) = 'integer'
                   and client.generation + installation.generation <= $2
         returning id",
    )
    .bind(serde_json::Value::Array(rows).to_string())
    .bind(i64::MAX)
    .fetch_all(pool)
    .await
    .map_err(fault)?;
    Ok(recorded.into_iter().map(TokenId).collect())
}

/// Encodes bytes as hexadecimal digits, because JSON has no byte strings.
pub(super) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing to a string does not fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// A JSON array of ids, because SQLite has no arrays.
fn json_ids(ids: &[TokenId]) -> String {
    json!(ids.iter().map(|id| hex(id.0.as_bytes())).collect::<Vec<_>>()).to_string()
}

/// Finds tokens with their clients and everything else that decides whether they are active, in one
/// statement.
pub(super) async fn find(
    pool: &SqlitePool,
    ids: &[TokenId],
) -> Result<Vec<(TokenId, FoundOrFault)>, Error> {
    let rows = sqlx::query(concat!(
        "select ",
        token_columns!("token.digest"),
        " from json_each($1) as asked
              join access_token as token on token.id = unhex(asked.value)
              join client on client.id = token.client"
    ))
    .bind(json_ids(ids))
    .fetch_all(pool)
    .await
    .map_err(fault)?;
    Ok(row::found_tokens(&rows, ids))
}

/// Revokes a batch of tokens in one transaction, and so with one flush to disk. The first
/// revocation of a token is kept: repeating it changes nothing and is not an error.
pub(super) async fn revoke(
    writer: &SqlitePool,
    ids: &[TokenId],
    now: Timestamp,
) -> Result<(), Error> {
    // A `where` tells SQLite that `on conflict` does not belong to the join.
    let statement = sqlx::query(
        "insert into revoked_token (id, revoked_at, keep_until)
         select token.id, $2, token.expires_at
         from json_each($1) as asked
              join access_token as token on token.id = unhex(asked.value)
         where true on conflict do nothing",
    )
    .bind(json_ids(ids))
    .bind(now.unix_micros());
    audit::change(writer, &Actor::owner(), vec![statement]).await.map(drop)
}

/// Deletes tokens that expired long ago, and revocations and changes that are no longer needed. Ids
/// are in order of issue, so the tokens issued longer ago than the maximum lifetime are at the
/// start of the table.
pub(super) async fn upkeep(pool: &SqlitePool, now: Timestamp) -> Result<Upkeep, Error> {
    const GRACE: Duration = Duration::from_hours(1);
    let oldest = now.minus(TokenLifetime::MAX.duration() + GRACE);
    let bound = first_id_of(oldest);
    let mut done = Upkeep::default();
    while done.expired_partitions_dropped < SLICES {
        let removed = sqlx::query(
            "delete from access_token where id in
                 (select id from access_token where id < $1 order by id limit $2)",
        )
        .bind(bound)
        .bind(SLICE)
        .execute(pool)
        .await
        .map_err(fault)?
        .rows_affected();
        if removed == 0 {
            break;
        }
        done.expired_partitions_dropped += 1;
    }
    done.revocations_forgotten = sqlx::query("delete from revoked_token where keep_until < $1")
        .bind(now.minus(GRACE).unix_micros())
        .execute(pool)
        .await
        .map_err(fault)?
        .rows_affected();
    done.changes_forgotten = sqlx::query("delete from change where changed_at < $1")
        .bind(now.minus(GRACE).unix_micros())
        .execute(pool)
        .await
        .map_err(fault)?
        .rows_affected();
    done.sizes = sizes(pool).await?;
    Ok(done)
}

/// Size of the file, without pages that are free.
async fn sizes(pool: &SqlitePool) -> Result<Sizes, Error> {
    let used: i64 = sqlx::query_scalar(
        "select (page_count - freelist_count) * page_size
         from pragma_page_count, pragma_freelist_count, pragma_page_size",
    )
    .fetch_one(pool)
    .await
    .map_err(fault)?;
    Ok(Sizes { database: u64::try_from(used).unwrap_or(0), ..Sizes::default() })
}

/// Smallest id of a token issued at `moment`: its milliseconds, followed by zeros.
fn first_id_of(moment: Timestamp) -> Uuid {
    let millis = u128::try_from(moment.unix_millis()).unwrap_or(0);
    Uuid::from_u128(millis << 80)
}
