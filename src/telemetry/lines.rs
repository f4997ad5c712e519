//! Log lines on standard error, many in one write.
//!
//! One write per request wakes the reader of the log once per request, which cost a quarter of an
//! introspection. So a thread that serves requests buffers its lines and writes them before it
//! waits for more work: a single line is not late, and under load one write carries dozens. The
//! usual writer thread with a queue is woken just as often as a reader, so there is one only for
//! lines that cannot be written at once (`log_writer.rs`).

use std::{
    cell::RefCell,
    io::{self, Write},
};

use tracing::{Level, Metadata};
use tracing_subscriber::fmt::MakeWriter;

use super::log_writer;

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
            log_writer::write(lines, false);
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
        Line { is_urgent: false }
    }

    fn make_writer_for(&'a self, metadata: &Metadata<'_>) -> Line {
        Line { is_urgent: *metadata.level() <= Level::WARN }
    }
}

/// Writer of one line, which arrives in one piece.
#[derive(Debug)]
pub(super) struct Line {
    /// Whether it is a warning or an error. It may be the last line of a process, so it is written
    /// immediately.
    is_urgent: bool,
}

impl Write for Line {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let is_held = HELD.try_with(|held| {
            let held = &mut *held.borrow_mut();
            let lines = held.0.as_mut()?;
            if self.is_urgent {
                held.write();
                return None;
            }
            lines.extend_from_slice(line);
            if lines.len() >= MOST_HELD {
                held.write();
            }
            Some(())
        });
        if !matches!(is_held, Ok(Some(()))) {
            log_writer::write(line, self.is_urgent);
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
