//! The log of a node cannot be written: nobody reads it, its disk is full, its pipe is closed.

use std::{
    fs,
    io::Write,
    process::{Command, Stdio},
};

use super::world::World;
use crate::support::binary::{LogReader, jeton};

/// Where the small disk is, for the processes of its namespace alone. Every machine has this.
const DISK: &str = "/mnt";

/// Mounts the disk, writes the log there, and shows it on standard output as it grows.
const SCRIPT: &str = r#"
mount -t tmpfs -o size=32m tmpfs /mnt && : >/mnt/log || exit 1
tail --pid=$$ -n +1 -f /mnt/log &
exec "$0" "$@" 2>>/mnt/log
"#;

/// A command that becomes a node whose log is on a disk of its own; `None` without the right to
/// mount one.
pub(super) fn on_a_small_disk() -> Option<Command> {
    let mut probe = Command::new("unshare");
    probe.args(["--mount", "mount", "-t", "tmpfs", "tmpfs", DISK]).stderr(Stdio::null());
    if !probe.status().is_ok_and(|status| status.success()) {
        return None;
    }
    let node = jeton();
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-c", SCRIPT]).arg(node.get_program()).env_clear();
    command.envs(node.get_envs().filter_map(|(name, value)| Some((name, value?))));
    Some(command)
}

/// Fills the disk of the log, and empties it again.
pub(super) async fn fill_disk(world: &World) {
    let disk = format!("/proc/{}/root{DISK}", world.node.child.id());
    let path = format!("{disk}/ballast");
    let mut ballast = fs::File::create(&path).unwrap();
    while ballast.write_all(&[0; 4096]).is_ok() {}
    world.sleep(1_500).await;
    fs::remove_file(path).unwrap();
}

/// Long enough for the pipe to fill up.
pub(super) async fn stand_still(world: &World) {
    world.node.set_log_reader(LogReader::StandsStill);
    world.sleep(2_000).await;
    world.node.set_log_reader(LogReader::Reads);
}

/// The rest of this node's log is lost.
pub(super) async fn close_pipe(world: &World) {
    world.node.set_log_reader(LogReader::IsGone);
    world.sleep(1_000).await;
}
