//! Core dumps, which would hold secrets.

#[cfg(all(target_os = "linux", not(debug_assertions)))]
use rustix::process::{DumpableBehavior, set_dumpable_behavior};
use rustix::process::{Resource, Rlimit, setrlimit};

/// Forbids core dumps, which would hold the secrets and tokens in flight. The resource limit alone
/// is not enough: Linux ignores it where dumps are piped to a program. Clearing the dumpable flag
/// also keeps other processes of the same user from reading the memory of this one. Debug builds
/// stay dumpable, so that a debugger can attach.
pub(super) fn forbid() {
    let _ = setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) });
    #[cfg(all(target_os = "linux", not(debug_assertions)))]
    let _ = set_dumpable_behavior(DumpableBehavior::NotDumpable);
}
