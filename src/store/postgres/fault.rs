//! What a failure of Postgres means for the caller.

use std::time::Duration;

use crate::domain::Error;

/// The classes of SQLSTATE that pass: connections, transactions that collided, resources, an
/// operator's intervention, the system itself. And single codes: a lock that was not had in time,
/// a server that is only a standby.
const PASSING_CLASSES: [&str; 5] = ["08", "40", "53", "57", "58"];
const PASSING_CODES: [&str; 2] = ["55P03", "25006"];

/// Sorts a failure into one that passes and one that does not.
pub(super) fn fault(error: sqlx::Error) -> Error {
    let passing = match &error {
        sqlx::Error::Io(_)
        | sqlx::Error::Tls(_)
        | sqlx::Error::Protocol(_)
        | sqlx::Error::PoolTimedOut
        | sqlx::Error::PoolClosed
        | sqlx::Error::WorkerCrashed => true,
        sqlx::Error::Database(database) => database.code().is_some_and(|code| {
            PASSING_CLASSES.iter().any(|class| code.starts_with(class))
                || PASSING_CODES.contains(&code.as_ref())
        }),
        _ => false,
    };
    if passing {
        Error::Unavailable { retry_after: Duration::from_secs(1), cause: error.into() }
    } else {
        Error::internal(error)
    }
}

/// Whether the database refused this user, password or name, which waiting does not mend.
pub(super) fn is_refusal(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(sqlx::error::DatabaseError::code);
    code.is_some_and(|code| code.starts_with("28") || code == "3D000" || code == "42501")
}
