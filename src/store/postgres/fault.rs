//! Classification of Postgres errors.

use std::{borrow::Cow, sync::Arc, time::Duration};

use super::lease::Lease;
use crate::{
    domain::Error,
    store::driver_error::{DriverError, MISSING_PRIVILEGE},
};

/// Transient SQLSTATE classes: connection exceptions (08), transaction rollback (40), insufficient
/// resources (53), object not in the required state (55), operator intervention (57) and system
/// errors (58). Also invalid authorization (28) and unknown database (3D): no statement fails with
/// these, only an attempt to connect, and for a node that was connected before they mean that the
/// database is down.
const PASSING_CLASSES: [&str; 8] = ["08", "28", "3D", "40", "53", "55", "57", "58"];
/// Transient SQLSTATE codes: the server is read-only, or does not have the lease of this node.
const PASSING_CODES: [&str; 2] = ["25006", Lease::NOT_FOUND];

/// Maps errors that a retry may resolve to `Unavailable`, and all others to `Internal`.
pub(super) fn fault(error: sqlx::Error) -> Error {
    if is_denial(&error) {
        Error::internal(Denied(DriverError(error)))
    } else if is_passing(&error) {
        let cause = Arc::new(DriverError(error));
        Error::Unavailable { retry_after: Duration::from_secs(1), cause }
    } else {
        Error::internal(DriverError(error))
    }
}

/// The role of this connection lacks a privilege for a statement.
#[derive(Debug, thiserror::Error)]
#[error("{MISSING_PRIVILEGE}")]
pub struct Denied(#[source] DriverError);

impl Denied {
    /// Whether this is why a statement failed.
    #[must_use]
    pub fn is_behind(error: &Error) -> bool {
        matches!(error, Error::Internal { cause } if cause.is::<Self>())
    }
}

/// Whether a retry may succeed.
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

/// Whether the database refused the user, the password or the database name. Retrying does not
/// help.
pub(super) fn is_refusal(error: &sqlx::Error) -> bool {
    code(error).is_some_and(|code| code.starts_with("28") || code == "3D000")
}

/// Whether the role may connect but lacks a privilege, which includes usage of the schema.
pub(super) fn is_denial(error: &sqlx::Error) -> bool {
    const INSUFFICIENT_PRIVILEGE: &str = "42501";
    const NO_SCHEMA_TO_CREATE_IN: &str = "3F000";
    code(error)
        .is_some_and(|code| [INSUFFICIENT_PRIVILEGE, NO_SCHEMA_TO_CREATE_IN].contains(&&*code))
}

fn code(error: &sqlx::Error) -> Option<Cow<'_, str>> {
    error.as_database_error().and_then(sqlx::error::DatabaseError::code)
}
