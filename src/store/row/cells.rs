//! Access to the single values of a row, with the same types for both databases. No stored value
//! causes a panic.

use sqlx::{ColumnIndex, Decode, Row, Type, TypeInfo, ValueRef};
use uuid::Uuid;

use super::unreadable::UnreadableRow;
use crate::domain::{Malformed, Timestamp};

/// A value that cannot be read: its column and the reason.
#[derive(Debug)]
pub(in crate::store) struct BadCell {
    column: &'static str,
    why: String,
}

/// A value, or the reason why it cannot be read.
pub(in crate::store) type Cell<T> = Result<T, BadCell>;

impl BadCell {
    pub(in crate::store) fn new(column: &'static str, why: impl Into<String>) -> Self {
        Self { column, why: why.into() }
    }

    pub(in crate::store) fn null(column: &'static str) -> Self {
        Self::new(column, "it is null")
    }

    /// Turns the bad value into an unreadable row of `table`. Statements with joins add a prefix to
    /// the columns of some tables. It is removed here, because the table itself does not have it.
    pub(in crate::store) fn of(self, table: &'static str) -> UnreadableRow {
        let prefix = match table {
            "client_secret" => "secret_",
            "access_token" => "token_",
            "installation" => "installation_",
            _ => "",
        };
        let column = self.column.strip_prefix(prefix).unwrap_or(self.column);
        let (column, why) = (column.into(), self.why);
        UnreadableRow { table, client_id: None, id: None, seq: None, column, why }
    }
}

/// A row whose values are accessed by column name. Any value may be null, even in a column that is
/// declared `not null`.
pub(in crate::store) trait Cells {
    fn maybe_uuid(&self, column: &'static str) -> Cell<Option<Uuid>>;
    fn maybe_text(&self, column: &'static str) -> Cell<Option<String>>;
    /// Members of a list, in order.
    fn maybe_texts(&self, column: &'static str) -> Cell<Option<Vec<String>>>;
    fn maybe_bytes(&self, column: &'static str) -> Cell<Option<Vec<u8>>>;
    fn maybe_integer(&self, column: &'static str) -> Cell<Option<i64>>;
    /// A moment, clamped to the range of [`Timestamp`].
    fn maybe_moment(&self, column: &'static str) -> Cell<Option<Timestamp>>;
    /// A boolean, such as the result of `exists`.
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
    cell?.ok_or_else(|| BadCell::null(column))
}

/// Decodes a value of a type that sqlx supports; `None` if it is null. The decoders of sqlx alone
/// would read a SQLite null as 0 or as an empty text.
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

/// Adds the column to the error of a domain parser.
pub(super) fn parsed<T>(column: &'static str, value: Result<T, Malformed>) -> Cell<T> {
    value.map_err(|malformed| BadCell::new(column, malformed.0))
}
