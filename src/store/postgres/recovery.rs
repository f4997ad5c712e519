//! Recovery of access for administrators, on Postgres.

use async_trait::async_trait;
use sqlx::PgConnection;

use super::{PostgresStore, fault::fault};
use crate::{
    domain::{Actor, ClientId, Error},
    store::RecoveryStore,
};

#[async_trait]
impl RecoveryStore for PostgresStore {
    async fn record_recovery(&self, client_id: &ClientId, actor: &Actor) -> Result<bool, Error> {
        on_session!(self.primary, self.lane, |connection, _| record(connection, client_id, actor))
    }
}

async fn record(
    connection: &mut PgConnection,
    client_id: &ClientId,
    actor: &Actor,
) -> Result<bool, Error> {
    sqlx::query_scalar(
        "select record_recovery($1) from (select set_config('jeton.actor', $2, true)) as actor",
    )
    .bind(client_id.as_str())
    .bind(actor.as_str())
    .fetch_one(connection)
    .await
    .map_err(fault)
}
