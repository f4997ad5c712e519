//! Output for rows that cannot be read. Each is marked in its place among the other rows; after all
//! rows are printed, the command fails with an error that says how to repair the first of them.

use anyhow::anyhow;
use serde_json::{Value, json};

use crate::{
    domain::ClientId,
    store::{Readable, UnreadableRow},
};

/// JSON object in place of a client that cannot be read.
pub(super) fn client_json(row: &UnreadableRow) -> Value {
    json!({ "client_id": row.client_id, "id": row.id, "unreadable": row.reason() })
}

/// JSON object in place of a secret that cannot be read.
pub(super) fn secret_json(row: &UnreadableRow) -> Value {
    json!({ "secret_id": row.id, "unreadable": row.reason() })
}

/// JSON object in place of an audit entry that cannot be read.
pub(super) fn audit_json(row: &UnreadableRow) -> Value {
    json!({ "seq": row.seq, "unreadable": row.reason() })
}

/// Table cells in place of a row that cannot be read: the first holds the best identifier of the
/// row, and the one at `mark_at` says which column is unreadable.
pub(super) fn cells<const N: usize>(row: &UnreadableRow, mark_at: usize) -> [String; N] {
    let id = row.id.map(|id| id.to_string());
    let seq = row.seq.map(|seq| seq.to_string());
    let known_by = row.client_id.clone().or(id).or(seq).unwrap_or_else(|| "?".to_owned());
    let mark = format!("unreadable: {}", row.column);
    let mut cells = std::array::from_fn(|_| String::new());
    for (at, text) in [(0, known_by), (mark_at, mark)] {
        if let Some(cell) = cells.get_mut(at) {
            *cell = text;
        }
    }
    cells
}

/// The rows of a list that cannot be read.
pub(super) fn rows<T>(list: &[Readable<T>]) -> impl Iterator<Item = &UnreadableRow> {
    list.iter().filter_map(|row| row.as_ref().err())
}

/// Fails if `rows` is not empty. Commands call this after all output is printed.
pub(super) fn check<'a>(rows: impl IntoIterator<Item = &'a UnreadableRow>) -> anyhow::Result<()> {
    let mut rows = rows.into_iter();
    let Some(first) = rows.next() else { return Ok(()) };
    let others = match rows.count() {
        0 => String::new(),
        1 => "; another row cannot be read and is marked above".to_owned(),
        more => format!("; {more} more rows cannot be read and are marked above"),
    };
    Err(anyhow!("{first}; {}{others}", remedy(first)))
}

fn remedy(row: &UnreadableRow) -> String {
    let named = row.client_id.as_deref().and_then(|text| ClientId::parse(text).ok());
    match (row.table, named) {
        ("client", Some(client_id)) => format!(
            "correct that column in the database, or delete the client with `jeton client delete \
             {client_id}`"
        ),
        ("audit", _) => {
            "it was changed outside Jeton: compare it with a backup of the database".to_owned()
        }
        (table, _) => format!("correct that column of {table} in the database"),
    }
}
