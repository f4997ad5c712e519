//! The values of a row, one by one. Both databases give them in the same types here, and none of
//! what may stand there panics.

use sqlx::{ColumnIndex, Decode, Row, Type, TypeInfo, ValueRef};
use uuid::Uuid;

use super::unreadable::UnreadableRow;
use crate::domain::{Malformed, Timestamp};

/// A value that cannot be read: in which column, and why.
#[derive(Debug)]
pub(in crate::store) struct BadCell {
    column: &'static str,
    why: String,
}

/// A value, or why it cannot be read.
pub(in crate::store) type Cell<T> = Result<T, BadCell>;

impl BadCell {
    pub(in crate::store) fn new(column: &'static str, why: impl Into<String>) -> Self {
        Self { column, why: why.into() }
    }

    /// The row of this table cannot be read. Statements that join tables put a prefix before the
    /// columns of some; the table does not have it.
    pub(super) fn of(self, table: &'static str) -> UnreadableRow {
        let prefix = match table {
            "client_secret" => "secret_",
            "access_token" => "token_",
            "installation" => "installation_",
            _ => "",
        };
        let column = self.column.strip_prefix(prefix).unwrap_or(self.column);
        let why = self.why;
        UnreadableRow { table, client_id: None, id: None, seq: None, column, why }
    }
}

/// A row whose values are taken by the names of their columns. Each may be null, so that what was
/// declared to be there is read with the same care as all else.
pub(in crate::store) trait Cells {
    fn maybe_uuid(&self, column: &'static str) -> Cell<Option<Uuid>>;
    fn maybe_text(&self, column: &'static str) -> Cell<Option<String>>;
    /// The members of a list, in their order.
    fn maybe_texts(&self, column: &'static str) -> Cell<Option<Vec<String>>>;
    fn maybe_bytes(&self, column: &'static str) -> Cell<Option<Vec<u8>>>;
    fn maybe_integer(&self, column: &'static str) -> Cell<Option<i64>>;
    /// A moment. What lies beyond the ends of [`Timestamp`] is the end.
    fn maybe_moment(&self, column: &'static str) -> Cell<Option<Timestamp>>;
    /// What `exists` and the like say.
    fn maybe_flag(&self, column: &'static str) -> Cell<Option<bool>>;

    fn uuid(&self, column: &'static str) -> Cell<Uuid> {
        present(column, self.maybe_uuid(column))
    }

    fn text(&self, column: &'static str) -> Cell<String> {
        present(column, self.maybe_text(column))
    }

    fn texts(&self, column: &'static str) -> Cell<Vec<String>> {
        present(column, self.maybe_texts(column))
    }

    fn bytes(&self, column: &'static str) -> Cell<Vec<u8>> {
        present(column, self.maybe_bytes(column))
    }

    fn integer(&self, column: &'static str) -> Cell<i64> {
        present(column, self.maybe_integer(column))
    }

    fn moment(&self, column: &'static str) -> Cell<Timestamp> {
        present(column, self.maybe_moment(column))
    }

    fn flag(&self, column: &'static str) -> Cell<bool> {
        present(column, self.maybe_flag(column))
    }
}

fn present<T>(column: &'static str, cell: Cell<Option<T>>) -> Cell<T> {
    cell?.ok_or_else(|| BadCell::new(column, "it is null"))
}

/// A value of a type that sqlx knows; none if it is null. A decoder of sqlx alone would take a null
/// of SQLite for 0 or for an empty text.
pub(in crate::store) fn cell<'r, R, T>(row: &'r R, column: &'static str) -> Cell<Option<T>>
where
    R: Row,
    T: Decode<'r, R::Database> + Type<R::Database>,
    &'static str: ColumnIndex<R>,
{
    let value = row.try_get_raw(column).map_err(|e| BadCell::new(column, e.to_string()))?;
    if value.is_null() {
        return Ok(None);
    }
    let of_type = value.type_info();
    if !of_type.is_null() && !T::compatible(&of_type) {
        return Err(BadCell::new(column, format!("it is a value of type {}", of_type.name())));
    }
    drop(of_type);
    T::decode(value).map(Some).map_err(|error| BadCell::new(column, error.to_string()))
}

/// What a text or number of a column must be beside its type.
pub(super) fn parsed<T>(column: &'static str, value: Result<T, Malformed>) -> Cell<T> {
    value.map_err(|malformed| BadCell::new(column, malformed.0))
}
