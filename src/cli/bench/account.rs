//! CPU time and memory of processes, read from `/proc`. Linux only: elsewhere all values are
//! unknown.

use std::{fs, path::Path, time::Duration};

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
pub(super) fn cpu_of_family(pid: u32) -> Option<Duration> {
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
