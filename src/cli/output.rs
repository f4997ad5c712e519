//! Output of the commands: tables for people, JSON for programs. No other module prints.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "the only module that prints")]

use comfy_table::{ContentArrangement, Table, presets::UTF8_HORIZONTAL_ONLY};
use serde_json::Value;

use crate::domain::Error;

/// Prints text and a newline on standard output.
pub(super) fn say(text: &str) {
    println!("{text}");
}

/// Prints a JSON value, indented, on standard output.
pub(super) fn json(value: &Value) {
    println!("{value:#}");
}

/// Prints a remark on standard error, apart from the output proper.
pub(super) fn remark(text: &str) {
    eprintln!("{text}");
}

/// Prints the progress of a long operation on standard error, over the previous progress line.
pub(super) fn progress(text: &str) {
    eprint!("\r{text:<60}");
}

/// Prints an error and its chain of causes in one line on standard error, each message once.
pub(super) fn complain(error: &anyhow::Error) {
    let mut text = String::new();
    for error in error.chain() {
        // The next cause would repeat the message with a line number of the source code of
        // Postgres, which an operator would mistake for a line of his own file.
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

/// Message of an error that the database itself reported.
fn database_message(error: &(dyn std::error::Error + 'static)) -> Option<String> {
    match error.downcast_ref() {
        Some(sqlx::Error::Database(database)) => Some(database.message().to_owned()),
        _ => None,
    }
}

/// Message of an error for an operator; `None` to skip it. Errors of the domain are worded for
/// remote callers and hide their causes. An operator may see the causes, so these errors are
/// shortened or skipped here and the causes follow.
fn said_by(error: &(dyn std::error::Error + 'static)) -> Option<String> {
    match error.downcast_ref() {
        Some(Error::Unavailable { .. }) => Some("it does not answer".to_owned()),
        Some(Error::Internal { .. }) => None,
        _ => Some(error.to_string()),
    }
}

/// Prints a table: rows under a heading.
pub(super) fn table<const N: usize>(heading: [&str; N], rows: Vec<[String; N]>) {
    let mut table = Table::new();
    table
        .load_style(UTF8_HORIZONTAL_ONLY)
        .set_content_arrangement(ContentArrangement::Disabled)
        .set_header(heading);
    table.add_rows(rows);
    println!("{table}");
}

/// Prints the properties of one object: a line with name and value for each.
pub(super) fn properties(rows: &[(&str, String)]) {
    let width = rows.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    for (name, value) in rows {
        println!("{name:width$}  {value}");
    }
}

/// Replaces control characters in text from a database, so that it cannot control the terminal.
pub(super) fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}
