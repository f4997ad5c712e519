//! Classification of SQLite errors.

use std::{sync::Arc, time::Duration};

use crate::domain::Error;

/// Transient primary result codes: busy (5), locked (6), I/O error (10), disk full (13) and cannot
/// open the file (14). The primary code is the low byte of the extended code.
const PASSING: [i64; 5] = [5, 6, 10, 13, 14];

/// Maps errors that a retry may resolve to `Unavailable`, and all others to `Internal`.
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
