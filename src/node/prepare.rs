//! Preparation before a node serves: waits for the database, and migrates or checks its schema.

use std::{sync::Arc, time::Duration};

use tokio::time::{Instant, timeout_at};

use super::StartError;
use crate::{
    domain::{ClientId, Clock, Error, Random, chain},
    stats::LogPace,
    store::{Store, migrate::SchemaError},
};

/// Pause between two attempts.
const REST: Duration = Duration::from_millis(500);

/// Maximum clients that one log line names.
const NAMED: usize = 50;

const LOCKED: &str = "another connection holds the migration lock";

async fn prepare(
    store: &Arc<dyn Store>,
    clock: &dyn Clock,
    random: &dyn Random,
    migrate: bool,
) -> Result<(), SchemaError> {
    if !migrate {
        store.check_schema().await?;
        // Create the current partitions, as a migration does. Upkeep created them only a day ahead,
        // so after a longer pause there are none.
        return Ok(store.make_room(clock.now()).await?);
    }
    let migrated = store.migrate(clock.now(), random).await?;
    if migrated.from != migrated.to {
        tracing::info!(from = migrated.from, to = migrated.to, "migrated the schema");
    }
    let clients = migrated.clients_that_must_name_audience(&**store).await?;
    if !clients.is_empty() {
        let named: Vec<_> = clients.iter().take(NAMED).map(ClientId::as_str).collect();
        tracing::warn!(
            count = clients.len(),
            clients = named.join(" "),
            "clients have several audiences and no default: requests without a resource are refused"
        );
    }
    Ok(())
}

/// Migrates or checks the schema. Waits up to `patience` for a database that does not answer. If
/// the database refuses a statement, or the schema is not the expected one, the start fails
/// immediately, because waiting would not help.
pub(super) async fn store(
    store: &Arc<dyn Store>,
    clock: &dyn Clock,
    random: &dyn Random,
    migrate: bool,
    patience: Duration,
) -> Result<(), StartError> {
    let deadline = Instant::now() + patience;
    let (mut last, log) = (Error::unavailable(LOCKED), LogPace::default());
    loop {
        // This may wait for another node that is migrating.
        let prepared = timeout_at(deadline, prepare(store, clock, random, migrate)).await;
        let Ok(prepared) = prepared else { return Err(StartError::NoDatabase(patience, last)) };
        match prepared {
            Ok(()) => return Ok(()),
            Err(SchemaError::Database(error @ Error::Unavailable { .. })) => {
                if let Some(_not_logged) = log.take(Instant::now().into_std()) {
                    let seconds_left = deadline.duration_since(Instant::now()).as_secs();
                    let cause = chain(&error);
                    tracing::warn!(cause, seconds_left, "the database does not answer yet");
                }
                last = error;
                tokio::time::sleep(REST).await;
                // A refused connection is answered before the timeout above is looked at.
                if Instant::now() >= deadline {
                    return Err(StartError::NoDatabase(patience, last));
                }
            }
            Err(error) => return Err(error.into()),
        }
    }
}
