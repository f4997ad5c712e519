//! Signals that stop a node, a shim or a long command.

use std::{io, process};

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::telemetry;

/// Listener for SIGTERM (from a supervisor) and SIGINT (from a keyboard).
pub(super) struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    /// Starts listening. From now on these signals no longer end the process by themselves.
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

    /// Ends the process with status 1 at the next signal: an operator who sends a second signal
    /// does not want to wait for the drain.
    pub(super) fn end_at_next(mut self) {
        tokio::spawn(async move {
            self.next().await;
            // Not printed: standard error may be a pipe that nobody reads.
            tracing::warn!("ended by a second signal, before in-flight requests finished");
            telemetry::flush();
            process::exit(1);
        });
    }
}
