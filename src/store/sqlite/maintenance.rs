//! Upkeep of the embedded store, and whether it answers.

use std::sync::PoisonError;

use async_trait::async_trait;

use super::{SqliteStore, audit, evidence, fault::fault, rotation, schema, tokens};
use crate::{
    domain::{Error, Timestamp},
    store::{Connections, MaintainedStore, Obstacle, ServerProcess, Upkeep},
};

#[async_trait]
impl MaintainedStore for SqliteStore {
    async fn upkeep(&self, now: Timestamp, audit_days: u32) -> Result<Upkeep, Error> {
        let mut done = tokens::upkeep(&self.writer, now).await?;
        audit::seal_others(&self.writer).await?;
        evidence::forget(&self.writer, now).await?;
        done.hashes_forgotten = rotation::forget_hashes(&self.writer, now).await?;
        done.audit_forgotten = audit::forget(&self.writer, audit_days, now).await?;
        Ok(done)
    }

    async fn obstacles(&self) -> Result<Vec<Obstacle>, Error> {
        Ok(schema::obstacles(&self.path))
    }

    async fn check(&self) -> Result<(), Error> {
        sqlx::query("select 1").execute(&self.reader).await.map_err(fault)?;
        Ok(())
    }

    /// Counts the connections for reading. There is always exactly one for writing.
    fn connections(&self) -> Connections {
        Connections::of(&self.reader)
    }

    async fn server_process(&self) -> Result<Option<ServerProcess>, Error> {
        Ok(None)
    }

    async fn close(&self) {
        self.reader.close().await;
        self.writer.close().await;
        self.in_use.lock().unwrap_or_else(PoisonError::into_inner).take();
    }
}
