//! Threads that serve connections, each with a runtime of its own.
//!
//! A connection stays with its thread, and so does whatever it asks: on one runtime for all, tasks
//! wander between cores, which costs a third of the time of a small request. Connections go to the
//! thread that has the fewest; the kernel's own way, a listener a thread (`SO_REUSEPORT`), goes by
//! a hash, which leaves threads idle beside busy ones where connections are few, as they are
//! between services.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use tokio::runtime::{Builder, Handle};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::telemetry::lines;

/// The threads of a node. Without any, connections are served where they are accepted.
#[derive(Clone, Default)]
pub(crate) struct Workers {
    workers: Arc<[Worker]>,
    /// Ends the threads with the last of those who use them.
    _guard: Option<Arc<DropGuard>>,
}

struct Worker {
    runtime: Handle,
    connections: Arc<AtomicUsize>,
}

impl Workers {
    /// Starts so many threads.
    pub(crate) fn start(threads: usize) -> io::Result<Self> {
        let stop = CancellationToken::new();
        let workers: io::Result<Arc<[Worker]>> = (0..threads)
            .map(|number| {
                let mut builder = Builder::new_current_thread();
                builder.enable_all().on_thread_park(lines::write_held);
                let runtime = builder.build()?;
                let handle = runtime.handle().clone();
                let stop = stop.clone();
                thread::Builder::new().name(format!("worker-{number}")).spawn(move || {
                    lines::hold();
                    runtime.block_on(stop.cancelled());
                    runtime.shutdown_background();
                })?;
                Ok(Worker { runtime: handle, connections: Arc::default() })
            })
            .collect();
        Ok(Self { workers: workers?, _guard: Some(Arc::new(stop.drop_guard())) })
    }

    /// The runtime that shall serve the next connection; it is counted there until what comes with
    /// it is dropped.
    pub(super) fn next(&self) -> (Handle, Option<ConnectionSlot>) {
        let count = |worker: &&Worker| worker.connections.load(Ordering::Relaxed);
        match self.workers.iter().min_by_key(count) {
            Some(worker) => {
                worker.connections.fetch_add(1, Ordering::Relaxed);
                (worker.runtime.clone(), Some(ConnectionSlot(Arc::clone(&worker.connections))))
            }
            None => (Handle::current(), None),
        }
    }
}

/// One connection of a thread.
pub(super) struct ConnectionSlot(Arc<AtomicUsize>);

impl Drop for ConnectionSlot {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
