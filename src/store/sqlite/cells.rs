//! Values of a SQLite row. A strict table holds only values of the declared types, but its text may
//! be invalid UTF-8, and a table may have lost its strictness.

use sqlx::sqlite::SqliteRow;
use uuid::Uuid;

use crate::{
    domain::Timestamp,
    store::row::{Cell, Cells, cell},
};

impl Cells for SqliteRow {
    fn maybe_uuid(&self, column: &'static str) -> Cell<Option<Uuid>> {
        cell(self, column)
    }

    fn maybe_text(&self, column: &'static str) -> Cell<Option<String>> {
        cell(self, column)
    }

    /// Lists are stored as one text, with a space between the members.
    fn maybe_texts(&self, column: &'static str) -> Cell<Option<Vec<String>>> {
        let text = self.maybe_text(column)?;
        let members = |text: String| {
            text.split(' ').filter(|member| !member.is_empty()).map(str::to_owned).collect()
        };
        Ok(text.map(members))
    }

    fn maybe_bytes(&self, column: &'static str) -> Cell<Option<Vec<u8>>> {
        cell(self, column)
    }

    fn maybe_integer(&self, column: &'static str) -> Cell<Option<i64>> {
        cell(self, column)
    }

    /// Moments are stored as microseconds since 1970, so every integer is a valid moment.
    fn maybe_moment(&self, column: &'static str) -> Cell<Option<Timestamp>> {
        Ok(self.maybe_integer(column)?.map(Timestamp::from_unix_micros))
    }

    fn maybe_flag(&self, column: &'static str) -> Cell<Option<bool>> {
        cell(self, column)
    }
}

/// View of a row in which invalid UTF-8 in texts is replaced by U+FFFD.
pub(super) struct Mended<'r>(pub(super) &'r SqliteRow);

impl Cells for Mended<'_> {
    fn maybe_uuid(&self, column: &'static str) -> Cell<Option<Uuid>> {
        self.0.maybe_uuid(column)
    }

    fn maybe_text(&self, column: &'static str) -> Cell<Option<String>> {
        let bytes = self.0.maybe_bytes(column)?;
        Ok(bytes.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()))
    }

    fn maybe_texts(&self, column: &'static str) -> Cell<Option<Vec<String>>> {
        self.0.maybe_texts(column)
    }

    fn maybe_bytes(&self, column: &'static str) -> Cell<Option<Vec<u8>>> {
        self.0.maybe_bytes(column)
    }

    fn maybe_integer(&self, column: &'static str) -> Cell<Option<i64>> {
        self.0.maybe_integer(column)
    }

    fn maybe_moment(&self, column: &'static str) -> Cell<Option<Timestamp>> {
        self.0.maybe_moment(column)
    }

    fn maybe_flag(&self, column: &'static str) -> Cell<Option<bool>> {
        self.0.maybe_flag(column)
    }
}
