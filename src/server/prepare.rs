//! Before a node serves: the database answers, and its schema is the one that this binary knows.

use std::{sync::Arc, time::Duration};

use tokio::time::Instant;

use super::StartError;
use crate::{
    domain::{Clock, Error, Random, chain},
    store::{Store, migrate::SchemaError},
};

/// How long to rest between two tries.
const REST: Duration = Duration::from_millis(500);

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
    loop {
        let prepared = if migrate {
            store.migrate(clock.now(), random).await.map(|migrated| {
                if migrated.from != migrated.to {
                    tracing::info!(from = migrated.from, to = migrated.to, "migrated the schema");
                }
            })
        } else {
            store.check_schema().await
        };
        match prepared {
            Ok(()) => return Ok(()),
            Err(SchemaError::Database(error @ Error::Unavailable { .. })) => {
                if Instant::now() >= deadline {
                    return Err(StartError::NoDatabase(patience, error));
                }
                tracing::warn!(cause = chain(&error), "the database does not answer yet");
                tokio::time::sleep(REST).await;
            }
            Err(error) => return Err(error.into()),
        }
    }
}
