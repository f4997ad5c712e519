//! How many connections the file descriptor limit of the process allows.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::limits::{MAX_CONTROL_CONNECTIONS, MAX_PROBE_CONNECTIONS};

/// Maximum descriptors of one database connection: a socket, or the three files of SQLite.
const EACH_DATABASE_CONNECTION: u64 = 3;

/// Descriptors for everything else: the standard streams, the runtime, the listening sockets, probe
/// and control connections, and files that are open for a moment.
const OTHERS: u64 = 64 + (MAX_PROBE_CONNECTIONS + MAX_CONTROL_CONNECTIONS) as u64;

/// Returns how many connections each of `listeners` listeners can hold beside the database
/// connections, at most `asked`. Raises the soft limit of the process as far as needed and allowed,
/// because on most systems it is 1,024, for the sake of programs that call `select`.
///
/// A listener that took more would leave no descriptors for the database, and requests would fail.
#[must_use]
pub fn fit_connections(asked: u32, listeners: u32, database_connections: u32) -> u32 {
    let others = OTHERS + EACH_DATABASE_CONNECTION * u64::from(database_connections);
    let descriptors = raise(others + u64::from(asked) * u64::from(listeners));
    let fitting = fitting(descriptors, others, listeners).min(asked);
    if fitting < asked {
        tracing::warn!(
            asked,
            fitting,
            descriptors,
            "the file descriptor limit is too low for max_connections; lowered max_connections"
        );
    }
    fitting
}

fn fitting(descriptors: u64, others: u64, listeners: u32) -> u32 {
    let each = descriptors.saturating_sub(others) / u64::from(listeners.max(1));
    u32::try_from(each).unwrap_or(u32::MAX).max(1)
}

/// Raises the soft limit to `wanted`, or as near as the hard limit allows, and returns the limit in
/// force.
fn raise(wanted: u64) -> u64 {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let now = current.unwrap_or(u64::MAX);
    let next = maximum.map_or(wanted, |maximum| wanted.min(maximum));
    let is_raised =
        next > now && setrlimit(Resource::Nofile, Rlimit { current: Some(next), maximum }).is_ok();
    if is_raised { next } else { now }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fits_leaves_room_for_the_rest_and_is_never_nothing() {
        assert_eq!(fitting(1_024, 94, 2), 465);
        assert_eq!(fitting(1_024, 64, 1), 960);
        assert_eq!(fitting(50, 94, 2), 1);
        assert_eq!(fitting(u64::MAX, 94, 2), u32::MAX);
    }
}
