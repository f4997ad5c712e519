//! Whether the memory limit of the process leaves room for all that its listeners may hold.

use std::{
    fs,
    path::{Path, PathBuf},
};

use super::Limits;

/// Memory of a connection at its limits: TLS state, buffers, and what it has sent and nobody has
/// read.
const CONNECTION: u64 = 160 * 1024;

/// Memory of an open request before its message has arrived: its headers and its state.
const REQUEST: u64 = 12 * 1024;

/// Memory of a node that serves nothing: code, threads, database connections.
const IDLE: u64 = 48 * 1024 * 1024;

/// Memory in bytes that a process with this many `listeners` may need at its limits, beside
/// `others`: hashes and caches.
#[must_use]
pub fn most_memory(limits: &Limits, listeners: u32, others: u64) -> u64 {
    let connections = u64::from(limits.max_connections) * CONNECTION;
    // Those of a connection that had to make way end a moment later.
    let requests = 2 * u64::from(limits.max_open_requests) * REQUEST;
    IDLE + others + u64::from(listeners) * (connections + requests)
}

/// Warns if the memory limit of this process, set by its cgroup, is lower than it may need. The
/// kernel would kill it under load, and an attacker could bring that about.
pub fn check_memory(limits: &Limits, listeners: u32, others: u64) {
    let needed = most_memory(limits, listeners, others);
    let Some(limit) = cgroup_limit(Path::new("/")).filter(|limit| *limit < needed) else { return };
    let mib = |bytes: u64| bytes / 1024 / 1024;
    tracing::warn!(
        limit_mib = mib(limit),
        needed_mib = mib(needed),
        "the memory limit is lower than what connections, requests, hashes and caches may need \
         together; raise it, or lower max_connections and max_open_requests"
    );
}

/// The lowest memory limit of the cgroups of this process in bytes; `None` without any. `root` is
/// the root of the file system.
fn cgroup_limit(root: &Path) -> Option<u64> {
    let own = fs::read_to_string(root.join("proc/self/cgroup")).ok()?;
    let files = own.lines().filter_map(|line| {
        let mut parts = line.splitn(3, ':').skip(1);
        let (controllers, path) = (parts.next()?, parts.next()?);
        let (mount, file) = match controllers {
            "" => ("sys/fs/cgroup", "memory.max"),
            names if names.split(',').any(|name| name == "memory") => {
                ("sys/fs/cgroup/memory", "memory.limit_in_bytes")
            }
            _ => return None,
        };
        Some(limits_above(&root.join(mount), path.trim_start_matches('/'), file))
    });
    files.flatten().filter_map(|file| fs::read_to_string(file).ok()?.trim().parse().ok()).min()
}

/// The file with the limit of a cgroup and of all that it is in. Within a container the path may be
/// that of the host, which does not exist there.
fn limits_above(mount: &Path, path: &str, file: &str) -> Vec<PathBuf> {
    Path::new(path).ancestors().map(|group| mount.join(group).join(file)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lowest_limit_of_all_groups_counts() {
        let tries = [
            ("0::/a/b\n", "sys/fs/cgroup/a/b/memory.max", "max", None),
            ("0::/a/b\n", "sys/fs/cgroup/a/memory.max", "268435456\n", Some(268_435_456)),
            ("0::/docker/x\n", "sys/fs/cgroup/memory.max", "1000\n", Some(1000)),
            (
                "5:cpu,memory:/a\n4:pids:/a\n",
                "sys/fs/cgroup/memory/a/memory.limit_in_bytes",
                "2000\n",
                Some(2000),
            ),
            ("4:pids:/a\n", "sys/fs/cgroup/memory.max", "1000\n", None),
        ];
        for (own, file, content, expected) in tries {
            let root = tempfile::tempdir().unwrap();
            for (file, content) in [("proc/self/cgroup", own), (file, content)] {
                let file = root.path().join(file);
                fs::create_dir_all(file.parent().unwrap()).unwrap();
                fs::write(file, content).unwrap();
            }
            assert_eq!(cgroup_limit(root.path()), expected, "{own} {file}");
        }
    }
}
