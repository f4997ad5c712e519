//! The values of a row of SQLite. A strict table holds only values of the declared type, but a text
//! there need not be one in UTF-8, and a table need not have stayed strict.

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

    /// A list is stored as one text with a space between its members.
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

    /// A moment is stored as its microseconds since 1970, so that every integer is one.
    fn maybe_moment(&self, column: &'static str) -> Cell<Option<Timestamp>> {
        Ok(self.maybe_integer(column)?.map(Timestamp::from_unix_micros))
    }

    fn maybe_flag(&self, column: &'static str) -> Cell<Option<bool>> {
        cell(self, column)
    }
}
