//! Writes log lines to standard error without ever waiting for its reader.
//!
//! A pipe that is not read, as of a log collector that hangs, would otherwise block every thread
//! that logs, and so every request. So a thread writes by itself only if the write cannot block:
//! standard error is a pipe or a socket that has room now. In all other cases the lines go to a
//! backlog of bounded size, which a thread of its own writes. Lines that do not fit are dropped and
//! counted, and the log says how many once it can be written again.

use std::{
    io::{self, Write},
    mem,
    sync::{
        Condvar, LazyLock, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    fs::{FileType, fstat},
};

/// Maximum bytes in the backlog.
const BACKLOG: usize = 1024 * 1024;

/// Part of the backlog that only warnings and errors may use.
const RESERVE: usize = BACKLOG / 4;

/// A pipe with room takes this much in one write without blocking (`PIPE_BUF`).
const CHUNK: usize = 4096;

static WRITER: LazyLock<LogWriter> = LazyLock::new(LogWriter::new);

struct LogWriter {
    state: Mutex<State>,
    /// Signalled when the backlog has lines, and when it has been written.
    changed: Condvar,
    /// Whether `poll` tells if a write to standard error would block.
    is_pollable: bool,
    dropped: AtomicU64,
}

#[derive(Default)]
struct State {
    backlog: Vec<u8>,
    /// Whether the thread is writing what it took from the backlog.
    is_writing: bool,
    is_started: bool,
    /// How many of the dropped lines the log has mentioned.
    mentioned: u64,
}

/// Writes whole lines. `is_urgent`: warnings and errors, which are dropped last.
pub(super) fn write(lines: &[u8], is_urgent: bool) {
    WRITER.write(lines, is_urgent);
}

/// Number of lines that were dropped because standard error could not be written.
pub(super) fn dropped() -> u64 {
    WRITER.dropped.load(Ordering::Relaxed)
}

/// Waits until the backlog is written, for at most `limit`.
pub(super) fn flush(limit: Duration) {
    let state = WRITER.lock();
    let has_lines = |state: &mut State| !state.backlog.is_empty() || state.is_writing;
    drop(WRITER.changed.wait_timeout_while(state, limit, has_lines));
}

impl LogWriter {
    fn new() -> Self {
        let kind = fstat(rustix::stdio::stderr()).map(|stat| FileType::from_raw_mode(stat.st_mode));
        Self {
            state: Mutex::default(),
            changed: Condvar::new(),
            is_pollable: matches!(kind, Ok(FileType::Fifo | FileType::Socket)),
            dropped: AtomicU64::new(0),
        }
    }

    fn write(&self, lines: &[u8], is_urgent: bool) {
        let mut state = self.lock();
        let rest = if self.is_pollable && state.backlog.is_empty() && !state.is_writing {
            write_what_fits(lines)
        } else {
            lines
        };
        if rest.is_empty() {
            return;
        }
        let limit = if is_urgent { BACKLOG } else { BACKLOG - RESERVE };
        if state.backlog.len() + rest.len() > limit {
            self.drop_lines(rest);
            return;
        }
        state.backlog.extend_from_slice(rest);
        if !state.is_started {
            state.is_started = true;
            // Without the thread, lines stay in the backlog and are dropped when it is full.
            let _ = thread::Builder::new().name("log".to_owned()).spawn(|| WRITER.run());
        }
        drop(state);
        self.changed.notify_all();
    }

    /// Writes the backlog, again and again. Only this thread ever waits for the reader.
    fn run(&self) {
        let mut lines = Vec::new();
        loop {
            {
                let state = self.lock();
                let waited = self.changed.wait_while(state, |state| state.backlog.is_empty());
                let mut state = waited.unwrap_or_else(PoisonError::into_inner);
                lines.clear();
                mem::swap(&mut lines, &mut state.backlog);
                state.is_writing = true;
            }
            // A log that cannot be written must not end the process, nor fail a request.
            let mut rest = &lines[..];
            while let Some(line) = first_chunk(rest).or((!rest.is_empty()).then_some(rest)) {
                if io::stderr().write_all(line).is_err() {
                    self.drop_lines(line);
                }
                rest = &rest[line.len()..];
            }
            self.mention_dropped();
            self.lock().is_writing = false;
            self.changed.notify_all();
        }
    }

    /// Says in the log how many lines are missing from it.
    fn mention_dropped(&self) {
        let dropped = self.dropped.load(Ordering::Relaxed);
        let new = dropped - mem::replace(&mut self.lock().mentioned, dropped);
        if new > 0 {
            let line = format!(
                "jeton: {new} log lines were dropped, because standard error was not read or could \
                 not be written\n"
            );
            let _ = io::stderr().write_all(line.as_bytes());
        }
    }

    fn drop_lines(&self, lines: &[u8]) {
        let count = lines.split_inclusive(|byte| *byte == b'\n').count();
        self.dropped.fetch_add(count as u64, Ordering::Relaxed);
    }

    /// Nothing under the lock panics, so it cannot be poisoned.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Writes as much as standard error takes without blocking, and returns the rest.
fn write_what_fits(mut lines: &[u8]) -> &[u8] {
    while let Some(chunk) = first_chunk(lines).filter(|_| has_room()) {
        match io::stderr().write(chunk) {
            Ok(written) => lines = &lines[written..],
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            // The thread meets the same error, and counts the lines.
            Err(_) => return lines,
        }
    }
    lines
}

/// The first whole lines, as many as one write takes: a process that is killed leaves no half line.
/// `None` if there is none, or if the first is longer.
fn first_chunk(lines: &[u8]) -> Option<&[u8]> {
    let within = &lines[..lines.len().min(CHUNK)];
    let end = within.iter().rposition(|byte| *byte == b'\n')?;
    Some(&lines[..=end])
}

fn has_room() -> bool {
    let stderr = rustix::stdio::stderr();
    let mut asked = [PollFd::new(&stderr, PollFlags::OUT)];
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    poll(&mut asked, Some(&now)).is_ok_and(|ready| ready > 0)
        && asked[0].revents().contains(PollFlags::OUT)
}
