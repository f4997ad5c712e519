//! Deletion that can be undone, on Postgres. The functions of the schema (migrations 20 and 23)
//! keep what is needed for that.

use async_trait::async_trait;
use sqlx::PgConnection;

use crate::{
    domain::{Actor, ClientId, ClientState, Error, Timestamp},
    store::{DeletedClient, DeletionStore, FeedStore, PostgresStore, postgres::fault::fault, row},
};

#[async_trait]
impl DeletionStore for PostgresStore {
    async fn set_state_of(
        &self,
        client_id: &ClientId,
        state: ClientState,
        read: i64,
        actor: &Actor,
    ) -> Result<bool, Error> {
        let is_set = on_session!(self.primary, self.lane, |connection, _| set_state(
            connection, client_id, state, read, actor
        ))?;
        self.settle().await.map(|()| is_set)
    }

    async fn delete_version(
        &self,
        client_id: &ClientId,
        read: i64,
        actor: &Actor,
    ) -> Result<bool, Error> {
        let is_deleted = on_session!(self.primary, self.lane, |connection, _| delete_version(
            connection,
            client_id,
            Some(read),
            actor
        ))?;
        self.settle().await.map(|()| is_deleted)
    }

    async fn deleted_client(&self, client_id: &ClientId) -> Result<Option<DeletedClient>, Error> {
        on_session!(self.primary, self.lane, |connection, _| deleted(connection, client_id))
    }

    async fn undelete_client(
        &self,
        deleted: &DeletedClient,
        _now: Timestamp,
        actor: &Actor,
    ) -> Result<bool, Error> {
        let is_back = on_session!(self.primary, self.lane, |connection, _| undelete(
            connection, deleted, actor
        ))?;
        self.settle().await.map(|()| is_back)
    }
}

async fn set_state(
    connection: &mut PgConnection,
    client_id: &ClientId,
    state: ClientState,
    read: i64,
    actor: &Actor,
) -> Result<bool, Error> {
    let rows = sqlx::query(
        "update client set state = $3, version = version + 1
         from (select set_config('jeton.actor', $2, true)) as actor
         where client_id = $1 and version = $4",
    )
    .bind(client_id.as_str())
    .bind(actor.as_str())
    .bind(state.as_str())
    .bind(read)
    .execute(connection)
    .await
    .map_err(fault)?
    .rows_affected();
    Ok(rows == 1)
}

pub(in crate::store::postgres) async fn delete(
    connection: &mut PgConnection,
    client_id: &ClientId,
    actor: &Actor,
) -> Result<bool, Error> {
    delete_version(connection, client_id, None, actor).await
}

async fn delete_version(
    connection: &mut PgConnection,
    client_id: &ClientId,
    read: Option<i64>,
    actor: &Actor,
) -> Result<bool, Error> {
    sqlx::query_scalar(
        "select delete_client($1, $3) from (select set_config('jeton.actor', $2, true)) as actor",
    )
    .bind(client_id.as_str())
    .bind(actor.as_str())
    .bind(read)
    .fetch_one(connection)
    .await
    .map_err(fault)
}

async fn deleted(
    connection: &mut PgConnection,
    client_id: &ClientId,
) -> Result<Option<DeletedClient>, Error> {
    let row = sqlx::query(
        "select id, array(select jsonb_array_elements_text(client -> 'scopes')) as scopes,
                array(select jsonb_array_elements_text(client -> 'audiences')) as audiences,
                array(select jsonb_array_elements_text(client -> 'serves')) as serves,
                (client ->> 'version')::bigint as version
         from deleted_client where client_id = $1 order by deleted_at desc limit 1",
    )
    .bind(client_id.as_str())
    .fetch_optional(connection)
    .await
    .map_err(fault)?;
    Ok(row.as_ref().map(row::deleted_client).transpose()?)
}

async fn undelete(
    connection: &mut PgConnection,
    deleted: &DeletedClient,
    actor: &Actor,
) -> Result<bool, Error> {
    sqlx::query_scalar(
        "select undelete_client($1, $3)
         from (select set_config('jeton.actor', $2, true)) as actor",
    )
    .bind(deleted.key.0)
    .bind(actor.as_str())
    .bind(deleted.version)
    .fetch_one(connection)
    .await
    .map_err(fault)
}
