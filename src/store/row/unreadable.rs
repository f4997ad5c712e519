//! A row that cannot be read: which one it is, and why.

use std::fmt;

use uuid::Uuid;

use crate::domain::Error;

/// A row that cannot be read, because somebody has put something there that no value of the domain
/// is. It fails whoever needs that row, and nobody else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnreadableRow {
    /// The table.
    pub table: &'static str,
    /// `client_id` of a row of `client`, as it stands there, if that is a text.
    pub client_id: Option<String>,
    /// `id` of the row, if it has one that is a uuid.
    pub id: Option<Uuid>,
    /// `seq` of a row of `audit`.
    pub seq: Option<i64>,
    /// The first column that cannot be read.
    pub column: &'static str,
    /// What is wrong with that column. It never says what stands there, which may be a secret.
    pub why: String,
}

impl UnreadableRow {
    /// The row by which an operation failed, if that is why it failed.
    pub(crate) fn behind(error: Error) -> Result<Self, Error> {
        match error {
            Error::Internal { cause } => match cause.downcast_ref::<Self>() {
                Some(row) => Ok(row.clone()),
                None => Err(Error::Internal { cause }),
            },
            other => Err(other),
        }
    }

    /// The column and what is wrong with it.
    #[must_use]
    pub fn reason(&self) -> String {
        format!("{}: {}", self.column, self.why)
    }

    /// Which row it is, in words: by the name that people know it by, else by its id.
    #[must_use]
    pub fn name(&self) -> String {
        match (&self.client_id, self.id, self.seq) {
            // A terminal would obey what somebody may have written there.
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

/// For those who asked for one row. What was asked for is not there in a form that can be used.
impl From<UnreadableRow> for Error {
    fn from(row: UnreadableRow) -> Self {
        Self::internal(row)
    }
}
