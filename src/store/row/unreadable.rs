//! Error for a row that cannot be read.

use std::fmt;

use uuid::Uuid;

use crate::domain::Error;

/// A row that cannot be read, because a manual edit stored something that is not a valid domain
/// value. Only requests that need this row fail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnreadableRow {
    /// Table of the row.
    pub table: &'static str,
    /// Stored `client_id` of a row of `client`, valid or not, if it is text.
    pub client_id: Option<String>,
    /// `id` of the row, if it is a UUID.
    pub id: Option<Uuid>,
    /// `seq` of a row of `audit`.
    pub seq: Option<i64>,
    /// The first column that cannot be read.
    pub column: Box<str>,
    /// Why that column cannot be read. It never contains the stored value, which may be a secret.
    pub why: String,
}

impl UnreadableRow {
    /// Extracts the unreadable row from an error, or returns the error if it has another cause.
    pub(crate) fn behind(error: Error) -> Result<Self, Error> {
        match error {
            Error::Internal { cause } => match cause.downcast_ref::<Self>() {
                Some(row) => Ok(row.clone()),
                None => Err(Error::Internal { cause }),
            },
            other => Err(other),
        }
    }

    /// Column and reason, as `column: reason`.
    #[must_use]
    pub fn reason(&self) -> String {
        format!("{}: {}", self.column, self.why)
    }

    /// Names the row for messages: by its `client_id` if known, otherwise by its id or `seq`.
    #[must_use]
    pub fn name(&self) -> String {
        match (&self.client_id, self.id, self.seq) {
            // Escaped, because the stored text may contain terminal control sequences.
            (Some(client_id), ..) => format!("client {}", client_id.escape_debug()),
            (None, Some(id), _) => format!("the row of {} with the id {id}", self.table),
            (None, None, Some(seq)) => format!("row {seq} of the audit trail"),
            (None, None, None) if self.table == "installation" => {
                "the row of installation".to_owned()
            }
            (None, None, None) => format!("a row of {}", self.table),
        }
    }
}

impl fmt::Display for UnreadableRow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} cannot be read because of its column {}", self.name(), self.reason())
    }
}

impl std::error::Error for UnreadableRow {}

/// For queries of a single row, where an unreadable row fails the whole operation.
impl From<UnreadableRow> for Error {
    fn from(row: UnreadableRow) -> Self {
        Self::internal(row)
    }
}
