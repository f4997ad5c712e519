//! Unit tests of unreadable rows. Those that need a database of each kind are in `tests/it`.

use super::*;
use sqlx::{Connection, SqliteConnection, sqlite::SqliteRow};

/// Rows that `query` returns.
async fn rows(query: &'static str) -> Vec<SqliteRow> {
    let mut connection = SqliteConnection::connect("sqlite::memory:").await.unwrap();
    sqlx::query(query).fetch_all(&mut connection).await.unwrap()
}

#[tokio::test]
async fn a_row_that_does_not_say_of_which_token_it_is_denies_none() {
    let ids = [1_u8, 2, 3].map(|byte| TokenId(Uuid::from_bytes([byte; 16])));
    let query = "select x'01010101010101010101010101010101' as token_id
                 union all select x'00' union all select null";
    let found = found_tokens(&rows(query).await, &ids);
    let mut of: Vec<_> = found.iter().map(|(id, _)| *id).collect();
    of.sort_unstable();
    assert_eq!(of, ids, "each requested id once");
    for (_, fault) in found {
        let row = UnreadableRow::behind(fault.unwrap_err()).unwrap();
        assert_eq!(row.table, "access_token");
    }
    let query = "select x'01010101010101010101010101010101' as token_id";
    assert_eq!(found_tokens(&rows(query).await, &ids).len(), 1, "the others are missing");
}

#[tokio::test]
async fn what_is_not_of_its_type_is_said_in_words_and_is_not_repeated() {
    let row = &rows("select null as a, 7 as b, 1.5 as c, cast(x'ff' as text) as d").await[0];
    let why = |cell: Cell<String>| cell.unwrap_err().of("client").reason();
    assert_eq!(why(row.text("a")), "a: it is null");
    assert_eq!(why(row.text("b")), "b: it is a value of type INTEGER");
    assert!(why(row.text("d")).contains("utf-8"), "{}", why(row.text("d")));
    assert_eq!(row.integer("c").unwrap_err().of("client").why, "it is a value of type REAL");
    // sqlx alone would read these nulls as 0 or as an empty text.
    for is_null in [row.integer("a").is_err(), row.bytes("a").is_err(), row.flag("a").is_err()] {
        assert!(is_null);
    }
    assert!(matches!(row.maybe_moment("a"), Ok(None)));
}

#[test]
fn a_row_is_named_by_what_is_known_of_it() {
    let row = |table| BadCell::new("secret_id", "it is null").of(table);
    assert_eq!(&*row("client_secret").column, "id", "without the prefix of a join");
    let id = Some(Uuid::from_u128(7));
    let named = [
        UnreadableRow { client_id: Some("orders".to_owned()), id, ..row("client") },
        UnreadableRow { client_id: Some("\u{1b}[2J".to_owned()), ..row("client") },
        UnreadableRow { id, ..row("client_secret") },
        UnreadableRow { seq: Some(7), ..row("audit") },
        row("installation"),
        row("access_token"),
    ];
    let expected = [
        "client orders",
        "client \\u{1b}[2J",
        "the row of client_secret with the id 00000000-0000-0000-0000-000000000007",
        "row 7 of the audit trail",
        "the row of installation",
        "a row of access_token",
    ];
    assert_eq!(named.map(|row| row.name()), expected);
}
