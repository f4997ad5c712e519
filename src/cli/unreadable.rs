//! Rows that cannot be read, in what commands show: each is marked in its place among the others,
//! and the command fails in the end and says how to mend the first of them.

use anyhow::anyhow;
use serde_json::{Value, json};

use super::output;
use crate::{
    domain::ClientId,
    store::{Readable, UnreadableRow},
};

/// What stands in the place of a client.
pub(super) fn client_json(row: &UnreadableRow) -> Value {
    json!({ "client_id": row.client_id, "id": row.id, "unreadable": row.reason() })
}

/// What stands in the place of a secret.
pub(super) fn secret_json(row: &UnreadableRow) -> Value {
    json!({ "secret_id": row.id, "unreadable": row.reason() })
}

/// What stands in the place of a row of the audit trail.
pub(super) fn audit_json(row: &UnreadableRow) -> Value {
    json!({ "seq": row.seq, "unreadable": row.reason() })
}

/// What stands in the place of a row in a table: what it is known by, and in another column that it
/// cannot be read.
pub(super) fn cells<const N: usize>(row: &UnreadableRow, mark_at: usize) -> [String; N] {
    let id = row.id.map(|id| id.to_string());
    let seq = row.seq.map(|seq| seq.to_string());
    let known_by = row.client_id.clone().or(id).or(seq).unwrap_or_else(|| "?".to_owned());
    let mark = format!("unreadable: {}", row.column);
    let mut cells = std::array::from_fn(|_| String::new());
    for (at, text) in [(0, output::printable(&known_by)), (mark_at, mark)] {
        if let Some(cell) = cells.get_mut(at) {
            *cell = text;
        }
    }
    cells
}

/// Those of a list that cannot be read.
pub(super) fn rows<T>(list: &[Readable<T>]) -> impl Iterator<Item = &UnreadableRow> {
    list.iter().filter_map(|row| row.as_ref().err())
}

/// Fails if there are any of these, after all that can be shown was shown.
pub(super) fn check<'a>(rows: impl IntoIterator<Item = &'a UnreadableRow>) -> anyhow::Result<()> {
    let mut rows = rows.into_iter();
    let Some(first) = rows.next() else { return Ok(()) };
    let others = match rows.count() {
        0 => String::new(),
        1 => "; another row cannot be read, and is marked above".to_owned(),
        more => format!("; {more} more rows cannot be read, and are marked above"),
    };
    Err(anyhow!("{first}; {}{others}", remedy(first)))
}

fn remedy(row: &UnreadableRow) -> String {
    let named = row.client_id.as_deref().and_then(|text| ClientId::parse(text).ok());
    match (row.table, named) {
        ("client", Some(client_id)) => format!(
            "put that column right in the database, or delete the client with `jeton client \
             delete {client_id}`"
        ),
        ("audit", _) => {
            "it was changed beside Jeton, so compare it with a backup of the database".to_owned()
        }
        (table, _) => format!("put that column of {table} right in the database"),
    }
}
