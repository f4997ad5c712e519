//! CPU time and memory of processes, read from `/proc`. Linux only: elsewhere all values are
//! unknown.

use std::{fs, path::Path, time::Duration};

use crate::store::{ServerProcess, Store};

/// Ticks per second in which `/proc` counts when a process was started.
const TICKS: u64 = 100;

/// Maximum difference between the start of a process as the kernel and as Postgres report it, in
/// seconds. The kernel reports when the machine was started in whole seconds.
const START_TOLERANCE: u64 = 3;

/// Where Postgres runs.
#[derive(Clone, Copy)]
pub(super) enum Postgres {
    /// On this machine, as the process of this id with its child processes.
    Here(u32),
    /// On another machine, or in a container with process ids of its own.
    Elsewhere,
    /// The database is the embedded one.
    Absent,
}

impl Postgres {
    /// Finds the server that `store` is connected to, unless its process id is `given`.
    pub(super) async fn find(given: Option<u32>, store: &dyn Store) -> Self {
        match (given, store.server_process().await) {
            (Some(pid), _) => Self::Here(pid),
            (None, Ok(None)) => Self::Absent,
            (None, Ok(Some(backend))) => parent_of(backend).map_or(Self::Elsewhere, Self::Here),
            (None, Err(_)) => Self::Elsewhere,
        }
    }

    /// CPU time of the server and its backends; `None` if unknown.
    pub(super) fn cpu(self) -> Option<Duration> {
        match self {
            Self::Here(pid) => cpu_of_family(pid),
            Self::Elsewhere | Self::Absent => None,
        }
    }
}

/// Process id of the server that started this backend; `None` if the backend is not a process of
/// this machine. Another process here may have the same id, but not the same start.
fn parent_of(backend: ServerProcess) -> Option<u32> {
    let stat = fs::read_to_string(format!("/proc/{}/stat", backend.pid)).ok()?;
    // Fields of proc(5), counted after the name, which may contain spaces.
    let (_, fields) = stat.rsplit_once(") ")?;
    let fields: Vec<&str> = fields.split(' ').collect();
    let ticks: u64 = fields.get(19)?.parse().ok()?;
    let machine = fs::read_to_string("/proc/stat").ok()?;
    let booted = machine.lines().find_map(|line| line.strip_prefix("btime "))?;
    let started = booted.trim().parse::<u64>().ok()? + ticks / TICKS;
    let reported = u64::try_from(backend.started.unix_micros() / 1_000_000).ok()?;
    let is_same = started.abs_diff(reported) <= START_TOLERANCE;
    if is_same { fields.get(1)?.parse().ok() } else { None }
}

/// CPU time of all threads of a process, to the nanosecond; `None` if there is no such process.
pub(super) fn cpu_of(pid: u32) -> Option<Duration> {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).ok()?;
    let nanos = threads.filter_map(|thread| nanos_of(&thread.ok()?.path()));
    Some(Duration::from_nanos(nanos.sum()))
}

fn nanos_of(thread: &Path) -> Option<u64> {
    let schedstat = fs::read_to_string(thread.join("schedstat")).ok()?;
    schedstat.split(' ').next()?.parse().ok()
}

/// CPU time of a process and of its running child processes, such as a Postgres server and its
/// backends.
fn cpu_of_family(pid: u32) -> Option<Duration> {
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).ok()?;
    let children = children.split_whitespace().filter_map(|child| child.parse().ok());
    Some(children.filter_map(cpu_of).sum::<Duration>() + cpu_of(pid)?)
}

/// Resident memory of a process, in bytes.
pub(super) fn memory_of(pid: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.trim().trim_end_matches(" kB").parse().ok()?;
    Some(kib * 1024)
}
