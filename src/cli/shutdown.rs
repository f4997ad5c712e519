//! Signals that stop a node, a shim or a long command.

use std::{io, process};

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::telemetry;

/// Listener for SIGTERM (from a supervisor) and SIGINT (from a keyboard), and for SIGHUP, which
/// comes when a terminal closes.
pub(super) struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
    /// Whether SIGHUP stops as well. To a service it only means that files have changed, and
    /// `node.rs` reloads them.
    stops_at_hangup: bool,
}

impl Signals {
    /// Starts listening for a command that belongs to its terminal. From now on these signals no
    /// longer end the process by themselves.
    pub(super) fn of_command() -> io::Result<Self> {
        Self::listen(true)
    }

    /// Starts listening for a service, which goes on after SIGHUP.
    pub(super) fn of_service() -> io::Result<Self> {
        Self::listen(false)
    }

    fn listen(stops_at_hangup: bool) -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
            stops_at_hangup,
        })
    }

    /// Waits for the next signal that stops.
    pub(super) async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => (),
            _ = self.interrupt.recv() => (),
            _ = self.hangup.recv(), if self.stops_at_hangup => (),
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
