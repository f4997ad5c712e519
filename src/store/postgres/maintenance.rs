//! Upkeep of the store on Postgres, and whether it answers.

use async_trait::async_trait;

use super::{PostgresStore, audit, evidence, lease, nodes, obstacles, partitions};
use crate::{
    domain::{Error, Timestamp},
    store::{Connections, MaintainedStore, Obstacle, ServerProcess, Upkeep},
};

#[async_trait]
impl MaintainedStore for PostgresStore {
    async fn upkeep(&self, now: Timestamp, audit_days: u32) -> Result<Upkeep, Error> {
        let mut done = on_session!(self.primary, self.lane, |connection, _| partitions::upkeep(
            connection, now
        ))?;
        nodes::forget(&self.primary, self.lane, &mut done).await?;
        done.hashes_forgotten =
            on_session!(self.primary, self.lane, |connection, _| evidence::forget(
                connection, now
            ))?;
        done.audit_forgotten =
            on_session!(self.primary, self.lane, |connection, _| audit::forget(
                connection, audit_days
            ))?;
        Ok(done)
    }

    async fn obstacles(&self) -> Result<Vec<Obstacle>, Error> {
        obstacles::find(&self.primary, self.lane).await
    }

    async fn check(&self) -> Result<(), Error> {
        on_session!(self.primary, self.lane, |connection, lease| lease::check(connection, lease))
    }

    fn connections(&self) -> Connections {
        self.primary.connections(self.lane)
    }

    async fn server_process(&self) -> Result<Option<ServerProcess>, Error> {
        Ok(self.primary.session(self.lane).await?.server_process())
    }

    async fn close(&self) {
        self.primary.close(self.lane).await;
    }
}
