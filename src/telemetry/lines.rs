//! Log lines on standard error, many in one write.
//!
//! One write per request wakes the reader of the log once per request, which cost a quarter of an
//! introspection. So a thread that serves requests buffers its lines and writes them before it
//! waits for more work: a single line is not late, and under load one write carries dozens. The
//! usual writer thread with a queue is woken just as often as a reader, and can lose a line that
//! has been handed over.

use std::{
    cell::RefCell,
    io::{self, Stderr, Write},
};

use tracing::{Level, Metadata};
use tracing_subscriber::fmt::MakeWriter;

/// Buffered bytes at which a thread writes its lines even if it does not have to wait.
const MOST_HELD: usize = 16 * 1024;

thread_local! {
    static HELD: RefCell<Held> = const { RefCell::new(Held(None)) };
}

/// Buffered lines of a thread; `None` if the thread does not buffer.
struct Held(Option<Vec<u8>>);

impl Held {
    fn write(&mut self) {
        if let Some(lines) = self.0.as_mut().filter(|lines| !lines.is_empty()) {
            // A log that cannot be written must not fail a request.
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

/// Starts to buffer the lines of this thread, which must call `write_held` whenever it is about to
/// wait.
pub fn hold() {
    HELD.with_borrow_mut(|held| held.0 = Some(Vec::with_capacity(MOST_HELD)));
}

/// Writes the buffered lines of this thread.
pub fn write_held() {
    // On a thread that is ending, `Drop` has written them.
    let _ = HELD.try_with(|held| held.borrow_mut().write());
}

/// The log writer of all threads.
#[derive(Debug)]
pub(super) struct Lines;

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Line;

    fn make_writer(&'a self) -> Line {
        Line { waits: true, stderr: io::stderr() }
    }

    fn make_writer_for(&'a self, metadata: &Metadata<'_>) -> Line {
        // A warning or an error may be the last line of a process, so it is written immediately.
        Line { waits: *metadata.level() > Level::WARN, stderr: io::stderr() }
    }
}

/// Writer of one line, which arrives in one piece.
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
