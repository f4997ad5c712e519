//! Tokens on Postgres, one statement per function.

use sqlx::PgConnection;

use super::{fault::fault, lease::Lease, moment::Moment};
use crate::{
    domain::{AccessToken, Actor, Error, TokenId},
    store::{
        FoundOrFault,
        columns::token_columns,
        row::{self, joined},
    },
};

/// Records a batch of tokens in one statement, and so with one commit. Returns the ids of the
/// recorded tokens. The others are refused: since the caller was authenticated, the client was
/// disabled or its secret was taken out of use. Tokens are also refused if a manual edit left
/// generations whose sum overflows, so that they do not fail the rest of the batch. Lists are
/// passed as texts, because Postgres has no arrays of arrays with different lengths.
pub(super) async fn record(
    connection: &mut PgConnection,
    tokens: &[AccessToken],
    lease: Option<Lease>,
) -> Result<Vec<TokenId>, Error> {
    let column =
        |value: fn(&AccessToken) -> uuid::Uuid| tokens.iter().map(value).collect::<Vec<_>>();
    let digests: Vec<&[u8]> = tokens.iter().map(|token| &token.digest.as_bytes()[..]).collect();
    let scopes: Vec<String> = tokens.iter().map(|token| joined(&token.granted.scopes)).collect();
    let audiences: Vec<String> =
        tokens.iter().map(|token| joined(&token.granted.audiences)).collect();
    let issued: Vec<_> = tokens.iter().map(|token| Moment(token.issued_at)).collect();
    let expires: Vec<_> = tokens.iter().map(|token| Moment(token.expires_at)).collect();
    let recorded: Vec<uuid::Uuid> = sqlx::query_scalar(
        "insert into access_token (id, digest, client, secret, scopes, audiences, issued_at,
                                   expires_at, generation)
         select token.id, token.digest, token.client, token.secret,
                string_to_array(token.scopes, ' '), string_to_array(token.audiences, ' '),
                token.issued_at, token.expires_at, client.generation + installation.generation
         from unnest($1::uuid[], $2::bytea[], $3::uuid[], $4::uuid[], $5::text[], $6::text[],
                     $7::timestamptz[], $8::timestamptz[])
             as token (id, digest, client, secret, scopes, audiences, issued_at, expires_at)
              join client on client.id = token.client and client.state = 'active'
              join client_secret as secret on secret.id = token.secret
                   and secret.client = token.client
                   and secret.retired_at is null and secret.burnt_at is null
                   and (secret.expires_at is null or secret.expires_at > token.issued_at)
              join installation
                   on client.generation::numeric + installation.generation <= $12
              cross join (select set_config('jeton.actor', $11, true)) as actor
         where (select require_lease($9, $10))
         returning id",
    )
    .bind(column(|token| token.id.0))
    .bind(digests)
    .bind(column(|token| token.client.0))
    .bind(column(|token| token.credential.0))
    .bind(scopes)
    .bind(audiences)
    .bind(issued)
    .bind(expires)
    .bind(lease.map(|lease| lease.node))
    .bind(lease.map(|lease| lease.renewals))
    .bind(Actor::node().as_str())
    .bind(i64::MAX)
    .fetch_all(connection)
    .await
    .map_err(fault)?;
    Ok(recorded.into_iter().map(TokenId).collect())
}

/// Finds tokens with their clients and everything else that decides whether they are active, in one
/// statement. Each id is looked up separately: with a list of ids, Postgres would search every
/// partition.
pub(super) async fn find(
    connection: &mut PgConnection,
    ids: &[TokenId],
    lease: Option<Lease>,
) -> Result<Vec<(TokenId, FoundOrFault)>, Error> {
    let rows = sqlx::query(concat!(
        "select ",
        token_columns!("token.digest"),
        " from unnest($1::uuid[]) as asked (id)
              cross join lateral
                  (select * from access_token where access_token.id = asked.id limit 1) as token
              join client on client.id = token.client
         where (select require_lease($2, $3))"
    ))
    .bind(ids.iter().map(|id| id.0).collect::<Vec<_>>())
    .bind(lease.map(|lease| lease.node))
    .bind(lease.map(|lease| lease.renewals))
    .fetch_all(connection)
    .await
    .map_err(fault)?;
    Ok(row::found_tokens(&rows, ids))
}

/// Revokes a batch of tokens in one statement, and so with one commit. The first revocation of a
/// token is kept: repeating it changes nothing and is not an error. The function also writes the
/// change feed and the audit trail, because triggers for each row cost several times as much.
pub(super) async fn revoke(connection: &mut PgConnection, ids: &[TokenId]) -> Result<(), Error> {
    sqlx::query("select revoke_tokens($1)")
        .bind(ids.iter().map(|id| id.0).collect::<Vec<_>>())
        .execute(connection)
        .await
        .map_err(fault)?;
    Ok(())
}
