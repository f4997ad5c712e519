//! Output of the commands: tables for people, JSON for programs. No other module prints.
//!
//! Results go to standard output and everything else to standard error. A reader that closes the
//! pipe early, as `head` does, has what it wanted: the rest is dropped, and the command goes on to
//! its end. Any other failure to write is an error of the command.

use std::{
    io::{self, IsTerminal, Write},
    sync::{
        OnceLock,
        atomic::{AtomicBool, Ordering},
    },
};

use anyhow::Context;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use serde_json::{Value, json};

use super::{exit::Exit, table, tagged_text::redacted};
use crate::domain::Error;

pub(super) use crate::domain::printable;

/// Why the output is incomplete. After a failure nothing more is written.
static LOST: OnceLock<io::Error> = OnceLock::new();

/// Whether errors are printed as JSON.
static ERRORS_AS_JSON: AtomicBool = AtomicBool::new(false);

/// Prints errors as JSON from now on.
pub(super) fn use_json() {
    ERRORS_AS_JSON.store(true, Ordering::Relaxed);
}

/// Whether errors are printed as JSON.
pub(super) fn errors_are_json() -> bool {
    ERRORS_AS_JSON.load(Ordering::Relaxed)
}

/// Prints text and a newline on standard output.
pub(super) fn say(text: &str) {
    if LOST.get().is_none()
        && let Err(error) = deliver(&format!("{text}\n"))
    {
        let _ = LOST.set(error);
    }
}

/// Whether nobody can read more output.
pub(super) fn is_lost() -> bool {
    LOST.get().is_some()
}

/// Prints text that is lost for good unless it is written.
///
/// # Errors
/// If it was not written.
pub(super) fn deliver(text: &str) -> io::Result<()> {
    let mut output = io::stdout().lock();
    output.write_all(text.as_bytes())?;
    output.flush()
}

/// Fails if standard output cannot be written, as far as that shows before something is written.
/// Commands that show a secret once ask before they make it.
pub(super) fn check_writable() -> anyhow::Result<()> {
    let output = io::stdout();
    let check = || {
        let mut polled = [PollFd::new(&output, PollFlags::OUT)];
        poll(&mut polled, Some(&Timespec { tv_sec: 0, tv_nsec: 0 }))?;
        let [polled] = polled;
        if polled.revents().intersects(PollFlags::ERR | PollFlags::NVAL) {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        // Writing nothing fails on a device without space.
        rustix::io::write(&output, &[])?;
        io::Result::Ok(())
    };
    check().context("nothing was changed, because standard output cannot be written")
}

/// Fails if output was lost. Commands end with this.
pub(super) fn finish() -> anyhow::Result<()> {
    match LOST.get() {
        Some(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            anyhow::bail!("the output is incomplete: standard output cannot be written: {error}")
        }
        _ => Ok(()),
    }
}

/// Prints a JSON value, indented, on standard output.
pub(super) fn json(value: &Value) {
    say(&format!("{value:#}"));
}

/// Prints a remark on standard error, apart from the output proper.
pub(super) fn remark(text: &str) {
    tell(&format!("{text}\n"));
}

/// Prints the progress of a long operation on standard error, over the previous progress line.
pub(super) fn progress(text: &str) {
    tell(&format!("\r{text:<60}"));
}

/// Standard error may be closed, which is no reason to fail.
fn tell(text: &str) {
    let _ = io::stderr().write_all(text.as_bytes());
}

/// Prints an error and its chain of causes in one line on standard error, each message once.
/// Returns the exit status for it.
pub(super) fn complain(error: &anyhow::Error) -> Exit {
    let exit = Exit::of(error);
    let text = printable(&redacted(&in_one_line(error)));
    if !text.is_empty() {
        complain_of(exit, &text, &format!("jeton: {text}"));
    }
    exit
}

/// Prints an error on standard error: the message alone as JSON, or the line for people.
pub(super) fn complain_of(exit: Exit, message: &str, line: &str) {
    if errors_are_json() {
        let error = json!({
            "exit_status": exit as u8,
            "reason": exit.as_str(),
            "message": message,
        });
        remark(&json!({ "error": error }).to_string());
    } else {
        remark(line);
    }
}

fn in_one_line(error: &anyhow::Error) -> String {
    let mut text = String::new();
    for said in error.chain().filter_map(said_by) {
        if !text.ends_with(&said) {
            text.push_str(if text.is_empty() { "" } else { ": " });
            text.push_str(&said);
        }
    }
    text
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

/// Prints a table: rows under a heading. On a terminal it is aligned and fits the width. In a pipe
/// the cells are complete and separated by tabs.
pub(super) fn table<const N: usize>(columns: [table::Column; N], rows: Vec<[String; N]>) {
    let rows = rows.into_iter().map(|row| row.map(|cell| printable(&cell)).to_vec());
    let width = io::stdout().is_terminal().then(table::terminal_width);
    let (text, left_out) = table::render(&columns, &rows.collect::<Vec<_>>(), width);
    say(&text);
    if !left_out.is_empty() {
        remark(&format!("Left out for lack of width: {}.", left_out.join(", ")));
    }
}

/// Prints a table in which each row has notes. On a terminal each note stands below its row,
/// because it may be long. In a pipe the notes are the last cells of the row.
pub(super) fn table_with_notes<const N: usize, const M: usize>(
    columns: [table::Column; N],
    headings: [&'static str; M],
    rows: &[([String; N], [String; M])],
) {
    let clean = |cells: &[String]| cells.iter().map(|cell| printable(cell)).collect::<Vec<_>>();
    let (cells, notes): (Vec<_>, Vec<_>) =
        rows.iter().map(|(row, notes)| (clean(row), clean(notes))).unzip();
    let width = io::stdout().is_terminal().then(table::terminal_width);
    let (text, left_out) = table::render(&columns, &cells, width);
    let notes = std::iter::once(Vec::from(headings.map(str::to_owned))).chain(notes);
    let lines = text.lines().zip(notes).map(|(line, notes)| {
        let Some(width) = width else { return format!("{line}\t{}", notes.join("\t")) };
        let notes = notes.iter().filter(|note| !note.is_empty());
        let below = notes.map(|note| table::below(note, width));
        std::iter::once(line.to_owned()).chain(below).collect::<Vec<_>>().join("\n")
    });
    say(&lines.collect::<Vec<_>>().join("\n"));
    if !left_out.is_empty() {
        remark(&format!("Left out for lack of width: {}.", left_out.join(", ")));
    }
}

/// A number of things, such as `1 client` or `2 clients`.
pub(super) fn counted(number: usize, thing: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {thing}{plural}")
}

/// Prints the properties of one object.
pub(super) fn properties(rows: &[(&str, String)]) {
    say(&properties_text(rows));
}

/// The properties of one object: a line with name and value for each.
pub(super) fn properties_text(rows: &[(&str, String)]) -> String {
    let width = rows.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    let line = |(name, value): &(&str, String)| {
        format!("{name:width$}  {}", printable(value)).trim_end().to_owned()
    };
    rows.iter().map(line).collect::<Vec<_>>().join("\n")
}
