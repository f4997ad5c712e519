//! What a failure of SQLite means for the caller.

use std::{sync::Arc, time::Duration};

use crate::domain::Error;

/// The primary result codes that pass: busy, locked, a failing disk, a full one, a file that
/// cannot be opened. The primary code is the low byte of the extended one.
const PASSING: [i64; 5] = [5, 6, 10, 13, 14];

/// Sorts a failure into one that passes and one that does not.
pub(super) fn fault(error: sqlx::Error) -> Error {
    let passing = match &error {
        sqlx::Error::Io(_)
        | sqlx::Error::PoolTimedOut
        | sqlx::Error::PoolClosed
        | sqlx::Error::WorkerCrashed => true,
        sqlx::Error::Database(database) => database
            .code()
            .and_then(|code| code.parse::<i64>().ok())
            .is_some_and(|code| PASSING.contains(&(code & 0xFF))),
        _ => false,
    };
    if passing {
        Error::Unavailable { retry_after: Duration::from_secs(1), cause: Arc::new(error) }
    } else {
        Error::internal(error)
    }
}
