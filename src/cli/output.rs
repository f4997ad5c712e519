//! What commands say: tables for people, JSON for machines. The only place that prints.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "commands speak to people here")]

use comfy_table::{ContentArrangement, Table, presets::UTF8_HORIZONTAL_ONLY};
use serde_json::Value;

use crate::domain::Error;

/// Prints text as it is.
pub(super) fn say(text: &str) {
    println!("{text}");
}

/// Prints one JSON value, indented.
pub(super) fn json(value: &Value) {
    println!("{value:#}");
}

/// Prints what is worth knowing on standard error, beside the output proper.
pub(super) fn remark(text: &str) {
    eprintln!("{text}");
}

/// Prints how something long goes, over what was printed so before.
pub(super) fn progress(text: &str) {
    eprint!("\r{text:<60}");
}

/// Prints why a command failed, with all that lies behind it, each thing once.
pub(super) fn complain(error: &anyhow::Error) {
    let mut text = String::new();
    for error in error.chain() {
        // Behind it stands the same once more, with a line of the source code of Postgres, which
        // would be taken for one of the operator's.
        let of_database = database_message(error);
        let is_last = of_database.is_some();
        if let Some(said) = of_database.or_else(|| said_by(error))
            && !text.ends_with(&said)
        {
            text.push_str(if text.is_empty() { "" } else { ": " });
            text.push_str(&said);
        }
        if is_last {
            break;
        }
    }
    eprintln!("jeton: {text}");
}

/// What a database answered.
fn database_message(error: &(dyn std::error::Error + 'static)) -> Option<String> {
    match error.downcast_ref() {
        Some(sqlx::Error::Database(database)) => Some(database.message().to_owned()),
        _ => None,
    }
}

/// The domain's errors speak to callers far away, who are not told of causes. Who runs a command
/// is at the cause's side.
fn said_by(error: &(dyn std::error::Error + 'static)) -> Option<String> {
    match error.downcast_ref() {
        Some(Error::Unavailable { .. }) => Some("it does not answer".to_owned()),
        Some(Error::Internal { .. }) => None,
        _ => Some(error.to_string()),
    }
}

/// Prints rows under a heading.
pub(super) fn table<const N: usize>(heading: [&str; N], rows: Vec<[String; N]>) {
    let mut table = Table::new();
    table
        .load_style(UTF8_HORIZONTAL_ONLY)
        .set_content_arrangement(ContentArrangement::Disabled)
        .set_header(heading);
    table.add_rows(rows);
    println!("{table}");
}

/// Prints one thing: a row for each of its properties.
pub(super) fn properties(rows: &[(&str, String)]) {
    let width = rows.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    for (name, value) in rows {
        println!("{name:width$}  {value}");
    }
}

/// Text that somebody wrote into a database, with nothing in it that a terminal would obey.
pub(super) fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}
