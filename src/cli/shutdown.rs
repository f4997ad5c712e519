//! The signals that end a node.

use std::{io, process};

use tokio::signal::unix::{Signal, SignalKind, signal};

use super::output;

/// SIGTERM from a supervisor, or SIGINT from a keyboard.
pub(super) struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    /// Begins to listen. From here on the signals no longer end the process by themselves.
    pub(super) fn listen() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    /// Waits for the next signal.
    pub(super) async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => (),
            _ = self.interrupt.recv() => (),
        }
    }

    /// Ends the process at the next signal: whoever sends a second one does not want to wait.
    pub(super) fn end_at_next(mut self) {
        tokio::spawn(async move {
            self.next().await;
            output::remark("jeton: ended by a second signal, before open requests finished");
            process::exit(1);
        });
    }
}
