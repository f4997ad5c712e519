//! Tokens as operators see them, on SQLite.

use async_trait::async_trait;

use super::{SqliteStore, audit, fault::fault, feed};
use crate::{
    domain::{Actor, ClientId, Error, Timestamp, TokenDigest, TokenId},
    store::{ExplainStore, Readable, StoredToken, columns::token_columns, row},
};

#[async_trait]
impl ExplainStore for SqliteStore {
    async fn stored_token(&self, id: TokenId) -> Result<Option<StoredToken>, Error> {
        let row = sqlx::query(concat!(
            "select ",
            token_columns!("zeroblob(32)"),
            ", revoked_token.revoked_at, secret.burnt_at
             from access_token as token
                  left join client on client.id = token.client
                  left join client_secret as secret on secret.id = token.secret
                  left join revoked_token on revoked_token.id = token.id
             where token.id = $1"
        ))
        .bind(id.0)
        .fetch_optional(&self.reader)
        .await
        .map_err(fault)?;
        row.as_ref().map(row::stored_token).transpose()
    }

    async fn token_digest(&self, id: TokenId) -> Result<Option<TokenDigest>, Error> {
        let row = sqlx::query("select digest from access_token where id = $1")
            .bind(id.0)
            .fetch_optional(&self.reader)
            .await
            .map_err(fault)?;
        Ok(row.as_ref().map(row::token_digest).transpose()?)
    }

    async fn unexpired_tokens(
        &self,
        client_id: &ClientId,
        now: Timestamp,
        before: Option<TokenId>,
        limit: u32,
    ) -> Result<Vec<Readable<StoredToken>>, Error> {
        let rows = sqlx::query(concat!(
            "select ",
            token_columns!("zeroblob(32)"),
            ", revoked_token.revoked_at, secret.burnt_at
             from access_token as token
                  join client on client.id = token.client and client.client_id = $1
                  left join client_secret as secret on secret.id = token.secret
                  left join revoked_token on revoked_token.id = token.id
             where token.expires_at > $2 and ($3 is null or token.id < $3)
             order by token.id desc limit $4"
        ))
        .bind(client_id.as_str())
        .bind(now.unix_micros())
        .bind(before.map(|before| before.0))
        .bind(limit)
        .fetch_all(&self.reader)
        .await
        .map_err(fault)?;
        row::stored_tokens(&rows)
    }

    async fn revoke_token(
        &self,
        id: TokenId,
        now: Timestamp,
        actor: &Actor,
    ) -> Result<bool, Error> {
        let statement = sqlx::query(
            "insert into revoked_token (id, revoked_at, keep_until)
             select id, $2, expires_at from access_token where id = $1
             on conflict do nothing",
        )
        .bind(id.0)
        .bind(now.unix_micros());
        let revoked = audit::change(&self.writer, actor, vec![statement]).await? == 1;
        feed::applied_everywhere().await;
        Ok(revoked)
    }
}
