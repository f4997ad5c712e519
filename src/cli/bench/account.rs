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
    let [parent, ticks] = stat_of(backend.pid, [1, 19])?;
    let machine = fs::read_to_string("/proc/stat").ok()?;
    let booted = machine.lines().find_map(|line| line.strip_prefix("btime "))?;
    let started = booted.trim().parse::<u64>().ok()? + ticks / TICKS;
    let reported = u64::try_from(backend.started.unix_micros() / 1_000_000).ok()?;
    let is_same = started.abs_diff(reported) <= START_TOLERANCE;
    if is_same { parent.try_into().ok() } else { None }
}

/// Numbers in the `stat` of a process (proc(5)), by their place after its name, which may contain
/// spaces.
fn stat_of<const N: usize>(pid: u32, places: [usize; N]) -> Option<[u64; N]> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, fields) = stat.rsplit_once(") ")?;
    let fields: Vec<&str> = fields.split(' ').collect();
    let numbers = places.into_iter().map(|place| fields.get(place)?.parse().ok());
    numbers.collect::<Option<Vec<_>>>()?.try_into().ok()
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

/// CPU time of a process and of its child processes, such as a Postgres server and its backends.
/// Those that have ended count as well, in whole ticks, or the sum would fall when one ends.
fn cpu_of_family(pid: u32) -> Option<Duration> {
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).ok()?;
    let children = children.split_whitespace().filter_map(|child| child.parse().ok());
    let running = children.filter_map(cpu_of).sum::<Duration>() + cpu_of(pid)?;
    let [user, system] = stat_of(pid, [13, 14])?;
    Some(running + Duration::from_millis((user + system) * 1_000 / TICKS))
}

/// Resident memory of a process, in bytes.
pub(super) fn memory_of(pid: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.trim().trim_end_matches(" kB").parse().ok()?;
    Some(kib * 1024)
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::process::{self, Command};

    use super::*;

    #[test]
    fn the_time_of_a_child_that_has_ended_still_counts() {
        let before = cpu_of_family(process::id()).unwrap();
        let busy = "i=0; while [ $i -lt 100000 ]; do i=$((i+1)); done";
        assert!(Command::new("sh").args(["-c", busy]).status().unwrap().success());
        let spent = cpu_of_family(process::id()).unwrap().saturating_sub(before);
        let own = cpu_of(process::id()).unwrap().saturating_sub(before);
        assert!(
            spent > own + Duration::from_millis(20),
            "{spent:?}, of it {own:?} by this process"
        );
    }
}
