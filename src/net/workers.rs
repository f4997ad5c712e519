//! Worker threads that serve connections, each with a runtime of its own.
//!
//! A connection stays on its thread, and so do its requests: on one shared runtime, tasks move
//! between cores, which costs a third of the time of a small request. A new connection goes to the
//! thread with the fewest. The kernel's alternative, one listener per thread (`SO_REUSEPORT`),
//! picks the thread by a hash. With few connections, as between services, that leaves some threads
//! idle beside busy ones.

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

/// The worker threads of a node. Without any, connections are served on the accepting runtime.
#[derive(Clone, Default)]
pub(crate) struct Workers {
    workers: Arc<[Worker]>,
    /// Ends the threads when the last clone is dropped.
    _guard: Option<Arc<DropGuard>>,
}

struct Worker {
    runtime: Handle,
    connections: Arc<AtomicUsize>,
}

impl Workers {
    /// Starts this many worker threads.
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

    /// Picks the runtime for the next connection. The connection counts for its thread until the
    /// returned slot is dropped.
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

/// Counts one connection of a worker thread until it is dropped.
pub(super) struct ConnectionSlot(Arc<AtomicUsize>);

impl Drop for ConnectionSlot {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
