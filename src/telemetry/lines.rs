//! Lines on standard error, many in one write.
//!
//! A write for each request wakes whoever reads the log once for each request, which cost a quarter
//! of an introspection. So a thread that serves requests holds its lines and writes them before it
//! waits for more: alone a line is not late, and under load one write carries dozens. A writer
//! thread with a queue, the usual way, is woken as often as a reader and can lose a line that has
//! been handed over.

use std::{
    cell::RefCell,
    io::{self, Stderr, Write},
};

use tracing::{Level, Metadata};
use tracing_subscriber::fmt::MakeWriter;

/// A thread that never has to wait writes its lines by so many bytes.
const MOST_HELD: usize = 16 * 1024;

thread_local! {
    static HELD: RefCell<Held> = const { RefCell::new(Held(None)) };
}

/// The lines of a thread, if it holds any back.
struct Held(Option<Vec<u8>>);

impl Held {
    fn write(&mut self) {
        if let Some(lines) = self.0.as_mut().filter(|lines| !lines.is_empty()) {
            // A log that cannot be written costs no request.
            let _ = io::stderr().write_all(lines);
            lines.clear();
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.write();
    }
}

/// From here on this thread holds its lines, and calls `write_held` whenever it is about to wait.
pub fn hold() {
    HELD.with_borrow_mut(|held| held.0 = Some(Vec::with_capacity(MOST_HELD)));
}

/// Writes the lines that this thread holds.
pub fn write_held() {
    // A thread that is ending has written them.
    let _ = HELD.try_with(|held| held.borrow_mut().write());
}

/// Where the lines of all threads go.
#[derive(Debug)]
pub(super) struct Lines;

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Line;

    fn make_writer(&'a self) -> Line {
        Line { waits: true, stderr: io::stderr() }
    }

    fn make_writer_for(&'a self, metadata: &Metadata<'_>) -> Line {
        // What went wrong may be the last that is heard of a process.
        Line { waits: *metadata.level() > Level::WARN, stderr: io::stderr() }
    }
}

/// One line, which comes in one piece.
#[derive(Debug)]
pub(super) struct Line {
    waits: bool,
    stderr: Stderr,
}

impl Write for Line {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let is_held = HELD.try_with(|held| {
            let held = &mut *held.borrow_mut();
            let lines = held.0.as_mut()?;
            lines.extend_from_slice(line);
            if !self.waits || lines.len() >= MOST_HELD {
                held.write();
            }
            Some(())
        });
        match is_held {
            Ok(Some(())) => Ok(line.len()),
            _ => self.stderr.write(line),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stderr.flush()
    }
}
