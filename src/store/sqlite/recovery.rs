//! Recovery of access for administrators, on SQLite.

use async_trait::async_trait;

use super::{SqliteStore, audit};
use crate::{
    domain::{Actor, ClientId, Error},
    store::RecoveryStore,
};

#[async_trait]
impl RecoveryStore for SqliteStore {
    async fn record_recovery(&self, client_id: &ClientId, actor: &Actor) -> Result<bool, Error> {
        let record = sqlx::query(
            "insert into audit (action, client, client_id, detail)
             select 'bootstrap.recover', id, client_id, '{}' from client where client_id = $1",
        )
        .bind(client_id.as_str().to_owned());
        Ok(audit::change(&self.writer, actor, vec![record]).await? == 1)
    }
}
