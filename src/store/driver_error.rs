//! Errors of Postgres as they are shown and logged.

use std::{error::Error, fmt};

/// Message for a role that lacks a privilege. It may be the wrong role for the command, or the
/// right one without its grants.
pub(super) const MISSING_PRIVILEGE: &str = "the role of --database-url lacks a privilege for this: \
    use the role for the task (by default jeton_operator to change clients, jeton_reader to look, \
    jeton_service for nodes), or, if it is the right one, run the output of `jeton migrate \
    --print-roles` again as the owner of the tables or as a superuser";

/// An error of the driver. It shows what the server said, without the line number that the driver
/// adds: that is a line of the source code of Postgres, which an operator would look for in a file
/// of his own.
#[derive(Debug)]
pub struct DriverError(pub(super) sqlx::Error);

impl DriverError {
    /// The error of the driver behind this cause, if there is one.
    pub(super) fn behind<'a>(
        cause: &'a (dyn Error + Send + Sync + 'static),
    ) -> Option<&'a sqlx::Error> {
        cause.downcast_ref::<Self>().map(|Self(error)| error)
    }
}

impl fmt::Display for DriverError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            sqlx::Error::Database(error) => f.write_str(error.message()),
            error => error.fmt(f),
        }
    }
}

impl Error for DriverError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match &self.0 {
            sqlx::Error::Database(_) => None,
            error => error.source(),
        }
    }
}
