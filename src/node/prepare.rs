//! Before a node serves: the database answers, and its schema is the one that this binary knows.

use std::{sync::Arc, time::Duration};

use tokio::time::{Instant, timeout_at};

use super::StartError;
use crate::{
    domain::{Clock, Error, Random, chain},
    store::{Store, migrate::SchemaError},
};

/// How long to rest between two tries.
const REST: Duration = Duration::from_millis(500);

const LOCKED: &str = "the lock of migrations is held by another connection";

async fn prepare(
    store: &Arc<dyn Store>,
    clock: &dyn Clock,
    random: &dyn Random,
    migrate: bool,
) -> Result<(), SchemaError> {
    if !migrate {
        store.check_schema().await?;
        // A migration has done that. A node that was away for more than a day finds no room.
        return Ok(store.make_room(clock.now()).await?);
    }
    let migrated = store.migrate(clock.now(), random).await?;
    if migrated.from != migrated.to {
        tracing::info!(from = migrated.from, to = migrated.to, "migrated the schema");
    }
    Ok(())
}

/// Migrates or checks the schema. A database that is away is waited for; one that refuses us, or a
/// schema that we do not know, ends the start at once, because waiting mends neither.
pub(super) async fn store(
    store: &Arc<dyn Store>,
    clock: &dyn Clock,
    random: &dyn Random,
    migrate: bool,
    patience: Duration,
) -> Result<(), StartError> {
    let deadline = Instant::now() + patience;
    let mut last = Error::unavailable(LOCKED);
    loop {
        // Another node may be migrating, for which this one waits.
        let prepared = timeout_at(deadline, prepare(store, clock, random, migrate)).await;
        let Ok(prepared) = prepared else { return Err(StartError::NoDatabase(patience, last)) };
        match prepared {
            Ok(()) => return Ok(()),
            Err(SchemaError::Database(error @ Error::Unavailable { .. })) => {
                tracing::warn!(cause = chain(&error), "the database does not answer yet");
                last = error;
                tokio::time::sleep(REST).await;
            }
            Err(error) => return Err(error.into()),
        }
    }
}
