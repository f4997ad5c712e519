//! What a failure of Postgres means for the caller.

use std::{borrow::Cow, sync::Arc, time::Duration};

use super::lease::Lease;
use crate::domain::Error;

/// The classes of SQLSTATE that pass: connections, transactions that collided, resources, objects
/// in another state for now, an operator's intervention, the system itself. Also a server that
/// refuses us (28) or does not have our database (3D): no statement ends so, only the attempt to
/// connect, and for a node that once was let in this is a database that is away. And two
/// single codes: a server that takes no writes, and one on which this node's lease is not found.
const PASSING_CLASSES: [&str; 8] = ["08", "28", "3D", "40", "53", "55", "57", "58"];
const PASSING_CODES: [&str; 2] = ["25006", Lease::NOT_FOUND];

/// Sorts a failure into one that passes and one that does not.
pub(super) fn fault(error: sqlx::Error) -> Error {
    if is_denial(&error) {
        Error::internal(MissingGrant(error))
    } else if is_passing(&error) {
        Error::Unavailable { retry_after: Duration::from_secs(1), cause: Arc::new(error) }
    } else {
        Error::internal(error)
    }
}

/// The database refuses a statement to the role of this connection.
#[derive(Debug, thiserror::Error)]
#[error(
    "the database denies this role what it needs, a grant is missing: `jeton migrate \
     --print-roles` prints those of each role, and whoever owns the tables or is superuser runs \
     that"
)]
struct MissingGrant(#[source] sqlx::Error);

/// Whether the same may succeed later.
pub(super) fn is_passing(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_)
        | sqlx::Error::Tls(_)
        | sqlx::Error::Protocol(_)
        | sqlx::Error::PoolTimedOut
        | sqlx::Error::PoolClosed
        | sqlx::Error::WorkerCrashed => true,
        sqlx::Error::Database(database) => database.code().is_some_and(|code| {
            PASSING_CLASSES.iter().any(|class| code.starts_with(class))
                || PASSING_CODES.contains(&&*code)
        }),
        _ => false,
    }
}

/// Whether the database refused this user, password or name, which waiting does not mend.
pub(super) fn is_refusal(error: &sqlx::Error) -> bool {
    code(error).is_some_and(|code| code.starts_with("28") || code == "3D000")
}

/// Whether the database let this role in and denies it a right: to see the schema at all is one.
pub(super) fn is_denial(error: &sqlx::Error) -> bool {
    const INSUFFICIENT_PRIVILEGE: &str = "42501";
    const NO_SCHEMA_TO_CREATE_IN: &str = "3F000";
    code(error)
        .is_some_and(|code| [INSUFFICIENT_PRIVILEGE, NO_SCHEMA_TO_CREATE_IN].contains(&&*code))
}

fn code(error: &sqlx::Error) -> Option<Cow<'_, str>> {
    error.as_database_error().and_then(sqlx::error::DatabaseError::code)
}
