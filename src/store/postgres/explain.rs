//! Tokens as operators see them, on Postgres. Each statement needs only what operators may do.

use async_trait::async_trait;
use sqlx::PgConnection;

use super::{PostgresStore, fault::fault, moment::Moment};
use crate::{
    domain::{Actor, ClientId, Error, Timestamp, TokenDigest, TokenId},
    store::{ExplainStore, FeedStore, Readable, StoredToken, columns::token_columns, row},
};

#[async_trait]
impl ExplainStore for PostgresStore {
    async fn stored_token(&self, id: TokenId) -> Result<Option<StoredToken>, Error> {
        on_session!(self.primary, self.lane, |connection, _| find(connection, id))
    }

    async fn token_digest(&self, id: TokenId) -> Result<Option<TokenDigest>, Error> {
        on_session!(self.primary, self.lane, |connection, _| digest(connection, id))
    }

    async fn unexpired_tokens(
        &self,
        client_id: &ClientId,
        now: Timestamp,
        before: Option<TokenId>,
        limit: u32,
    ) -> Result<Vec<Readable<StoredToken>>, Error> {
        on_session!(self.primary, self.lane, |connection, _| list(
            connection, client_id, now, before, limit
        ))
    }

    async fn revoke_token(
        &self,
        id: TokenId,
        _now: Timestamp,
        actor: &Actor,
    ) -> Result<bool, Error> {
        let revoked =
            on_session!(self.primary, self.lane, |connection, _| revoke(connection, id, actor))?;
        self.settle().await.map(|()| revoked)
    }
}

async fn find(connection: &mut PgConnection, id: TokenId) -> Result<Option<StoredToken>, Error> {
    let row = sqlx::query(concat!(
        "select ",
        token_columns!("sha256('')"),
        ", revoked_token.revoked_at, secret.burnt_at
         from access_token as token
              left join client on client.id = token.client
              left join client_secret as secret on secret.id = token.secret
              left join revoked_token on revoked_token.id = token.id
         where token.id = $1 limit 1"
    ))
    .bind(id.0)
    .fetch_optional(connection)
    .await
    .map_err(fault)?;
    row.as_ref().map(row::stored_token).transpose()
}

async fn digest(connection: &mut PgConnection, id: TokenId) -> Result<Option<TokenDigest>, Error> {
    let row = sqlx::query("select digest from access_token where id = $1 limit 1")
        .bind(id.0)
        .fetch_optional(connection)
        .await
        .map_err(fault)?;
    Ok(row.as_ref().map(row::token_digest).transpose()?)
}

async fn list(
    connection: &mut PgConnection,
    client_id: &ClientId,
    now: Timestamp,
    before: Option<TokenId>,
    limit: u32,
) -> Result<Vec<Readable<StoredToken>>, Error> {
    let rows = sqlx::query(concat!(
        "select ",
        token_columns!("sha256('')"),
        ", revoked_token.revoked_at, secret.burnt_at
         from access_token as token
              join client on client.id = token.client and client.client_id = $1
              left join client_secret as secret on secret.id = token.secret
              left join revoked_token on revoked_token.id = token.id
         where token.expires_at > $2 and ($3::uuid is null or token.id < $3)
         order by token.id desc limit $4"
    ))
    .bind(client_id.as_str())
    .bind(Moment(now))
    .bind(before.map(|before| before.0))
    .bind(i64::from(limit))
    .fetch_all(connection)
    .await
    .map_err(fault)?;
    row::stored_tokens(&rows)
}

/// Triggers write the change feed and the audit trail, with the operator as the actor.
async fn revoke(connection: &mut PgConnection, id: TokenId, actor: &Actor) -> Result<bool, Error> {
    let rows = sqlx::query(
        "insert into revoked_token (id, revoked_at, keep_until)
         select token.id, clock_timestamp(), token.expires_at
         from access_token as token
              cross join (select set_config('jeton.actor', $2, true)) as actor
         where token.id = $1 limit 1
         on conflict do nothing",
    )
    .bind(id.0)
    .bind(actor.as_str())
    .execute(connection)
    .await
    .map_err(fault)?
    .rows_affected();
    Ok(rows == 1)
}
