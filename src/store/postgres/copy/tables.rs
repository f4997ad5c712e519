//! The tables that are copied row by row, in an order in which rows refer only to earlier ones.

use sqlx::PgConnection;

use super::binary::{
    Kind::{self, Bytes, Flag, Integer, Moment, Small, Text, Texts, Uuid},
    push_row,
};
use crate::{
    domain::Error,
    store::{
        postgres::fault::fault,
        row::{Cells, UnreadableRow},
    },
};

/// A table that is copied.
pub(super) struct Table {
    name: &'static str,
    /// Query for its rows in the embedded database. The parameter is the present.
    pub(super) rows: &'static str,
    columns: &'static [(&'static str, Kind)],
}

pub(super) const TABLES: [Table; 7] = [
    Table {
        name: "client",
        rows: "select * from client",
        columns: &[
            ("id", Uuid),
            ("client_id", Text),
            ("name", Text),
            ("state", Text),
            ("grant_types", Texts),
            ("scopes", Texts),
            ("default_scopes", Texts),
            ("audiences", Texts),
            ("default_audience", Text),
            ("several_audiences", Flag),
            ("serves", Texts),
            ("token_lifetime_seconds", Small),
            ("tokens_per_second", Small),
            ("token_burst", Small),
            ("live_tokens", Small),
            ("labels", Texts),
            ("owner", Text),
            ("note", Text),
            ("grantable_scopes", Texts),
            ("grantable_audiences", Texts),
            ("not_before", Moment),
            ("created_at", Moment),
            ("version", Integer),
            ("generation", Integer),
        ],
    },
    Table {
        name: "client_secret",
        rows: "select * from client_secret",
        columns: &[
            ("id", Uuid),
            ("client", Uuid),
            ("hash", Text),
            ("label", Text),
            ("created_at", Moment),
            ("expires_at", Moment),
            ("retired_at", Moment),
            ("burnt_at", Moment),
            ("retire_at", Moment),
            ("kept_expires_at", Moment),
            ("forgotten_at", Moment),
            ("foreign_hash", Text),
            ("is_foreign", Flag),
        ],
    },
    Table {
        name: "access_token",
        rows: "select * from access_token where expires_at > $1",
        columns: &[
            ("id", Uuid),
            ("digest", Bytes),
            ("client", Uuid),
            ("secret", Uuid),
            ("scopes", Texts),
            ("audiences", Texts),
            ("issued_at", Moment),
            ("expires_at", Moment),
            ("generation", Integer),
        ],
    },
    Table {
        name: "revoked_token",
        rows: "select * from revoked_token",
        columns: &[("id", Uuid), ("revoked_at", Moment), ("keep_until", Moment)],
    },
    Table {
        name: "secret_use",
        rows: "select * from secret_use",
        columns: &[
            ("secret", Uuid),
            ("first_used_at", Moment),
            ("last_used_at", Moment),
            ("last_source", Text),
            ("uses", Integer),
            ("refused", Integer),
            ("last_refused_at", Moment),
            ("last_refused_source", Text),
        ],
    },
    Table {
        name: "secret_source",
        rows: "select * from secret_source",
        columns: &[
            ("secret", Uuid),
            ("source", Text),
            ("first_used_at", Moment),
            ("last_used_at", Moment),
            ("uses", Integer),
        ],
    },
    Table {
        name: "evidence_gap",
        // A row of `evidence` is that of a node that was killed: what it counted last is lost.
        rows: "select since, until from evidence_gap
               union select flushed_at, $1 from evidence where flushed_at < $1",
        columns: &[("since", Moment), ("until", Moment)],
    },
];

impl Table {
    /// The statement that takes its rows.
    pub(super) fn statement(&self) -> String {
        let columns: Vec<_> = self.columns.iter().map(|(column, _)| *column).collect();
        format!("copy {} ({}) from stdin (format binary)", self.name, columns.join(", "))
    }

    /// Appends a row to the data of that statement.
    pub(super) fn push(&self, data: &mut Vec<u8>, row: &impl Cells) -> Result<(), UnreadableRow> {
        push_row(data, row, self.columns).map_err(|bad| UnreadableRow {
            client_id: row.text("client_id").ok(),
            id: row.uuid("id").ok(),
            ..bad.of(self.name)
        })
    }

    /// Fails if the table has a column that would not be copied: one that a migration has added
    /// and this list lacks.
    pub(super) async fn check_columns(&self, connection: &mut PgConnection) -> Result<(), Error> {
        let found: Vec<String> = sqlx::query_scalar(
            "select attname::text from pg_attribute
             where attrelid = $1::text::regclass and attnum > 0 and not attisdropped",
        )
        .bind(self.name)
        .fetch_all(connection)
        .await
        .map_err(fault)?;
        let is_unknown = |name: &&String| self.columns.iter().all(|(known, _)| known != *name);
        match found.iter().find(is_unknown) {
            Some(name) => Err(self.incomplete(&format!("its column {name} would be left out"))),
            None => Ok(()),
        }
    }

    pub(super) fn incomplete(&self, why: &str) -> Error {
        Error::internal(format!("the table {} cannot be copied completely: {why}", self.name))
    }
}
