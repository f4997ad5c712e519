//! What a node takes of the machine, at most.

use std::{
    fs,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    thread,
    time::Duration,
};

use crate::support::proxy::OpenConnections;

/// The most of each that was ever seen.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Footprint {
    /// Resident, in MiB.
    pub(super) memory: u64,
    pub(super) descriptors: u64,
    pub(super) threads: u64,
    /// Connections to the database.
    pub(super) connections: u64,
}

impl Footprint {
    pub(super) fn most(self, other: Self) -> Self {
        Self {
            memory: self.memory.max(other.memory),
            descriptors: self.descriptors.max(other.descriptors),
            threads: self.threads.max(other.threads),
            connections: self.connections.max(other.connections),
        }
    }

    /// Whether it is what was declared. Nodes here have 6 connections to the database and one for
    /// the change feed. One that is given up counts until it is closed.
    pub(super) fn is_bounded(self) -> bool {
        let cores = thread::available_parallelism().map_or(1, |cores| cores.get() as u64);
        // One thread hashes for each core but one, in 19 MiB.
        self.memory <= 128 + 20 * cores
            && self.descriptors <= 2 * 1_024 + 64
            && self.threads <= 2 * cores + 8
            && self.connections <= 6 + 1
    }

    /// Of a process at this moment; its memory is the most that it ever had.
    fn of(pid: u32, connections: u64) -> Self {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        let descriptors = fs::read_dir(format!("/proc/{pid}/fd")).map_or(0, Iterator::count);
        Self {
            memory: figure(&status, "VmHWM:") / 1_024,
            descriptors: descriptors.try_into().unwrap(),
            threads: figure(&status, "Threads:"),
            connections,
        }
    }
}

/// A figure of the kernel's about a process; 0 if it has ended.
pub(super) fn figure(status: &str, name: &str) -> u64 {
    let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or("0");
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

/// Looks at the node, whichever process it is at the time, until it is told to stop.
pub(super) async fn watch(
    pid: Arc<AtomicU32>,
    open: OpenConnections,
    most: Arc<Mutex<Footprint>>,
    stop: Arc<AtomicBool>,
) {
    while !stop.load(Ordering::Relaxed) {
        let now = Footprint::of(pid.load(Ordering::Relaxed), open.now());
        {
            let mut most = most.lock().unwrap();
            *most = most.most(now);
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
