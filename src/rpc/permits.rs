//! The concurrency limits: permits for calls in flight.

use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::{Semaphore, SemaphorePermit};
use tonic::Status;

use super::status;
use crate::{
    pb::v1::{Lane, Permission},
    request::Method,
};

/// Maximum calls of administrators in flight: those that read, those that change something, and
/// those that need `jeton:security`, to end access above all. More would only wait for the
/// database.
const MAX_READS: usize = 10;
const MAX_WRITES: usize = 10;
const MAX_SECURITY: usize = 4;

/// Permits for calls in flight. Each lane has its own, and in that of administration each
/// permission: a caller takes none from callers who may do what it may not.
#[derive(Debug)]
pub(super) struct Permits {
    issue: Semaphore,
    inspect: Semaphore,
    read: Semaphore,
    write: Semaphore,
    security: Semaphore,
    refused: AtomicU64,
}

impl Permits {
    /// `max_requests` for each lane of callers, and those of administration.
    pub(super) fn new(max_requests: u32) -> Self {
        let of_callers = || Semaphore::new(max_requests as usize);
        Self {
            issue: of_callers(),
            inspect: of_callers(),
            read: Semaphore::new(MAX_READS),
            write: Semaphore::new(MAX_WRITES),
            security: Semaphore::new(MAX_SECURITY),
            refused: AtomicU64::new(0),
        }
    }

    /// Takes a permit for a call of this method. Refuses immediately instead of queueing: a caller
    /// that is told to retry is better served than one that waits until its deadline.
    ///
    /// # Errors
    /// `UNAVAILABLE` if none is free.
    pub(super) fn take(&self, method: Method) -> Result<SemaphorePermit<'_>, Status> {
        let permits = match (method.lane(), method.requires()) {
            (Lane::Issue, _) => &self.issue,
            (Lane::Inspect, _) => &self.inspect,
            (Lane::Control | Lane::Unspecified, Permission::Read) => &self.read,
            (Lane::Control | Lane::Unspecified, Permission::Write) => &self.write,
            (Lane::Control | Lane::Unspecified, _) => &self.security,
        };
        permits.try_acquire().map_err(|_| {
            self.refused.fetch_add(1, Ordering::Relaxed);
            status::overloaded()
        })
    }

    /// Number of calls refused because no permit was free.
    pub(super) fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use std::iter;

    use super::*;

    #[test]
    fn each_permission_of_administrators_has_permits_that_the_others_cannot_take() {
        let permits = Permits::new(1);
        let all = |method| iter::from_fn(|| permits.take(method).ok()).collect::<Vec<_>>();
        let reads = all(Method::ListTokens);
        let writes = all(Method::BatchCreateClients);
        let security = all(Method::DisableClient);
        let taken = [reads.len(), writes.len(), security.len()];
        assert_eq!(taken, [MAX_READS, MAX_WRITES, MAX_SECURITY]);
        assert_eq!(permits.refused(), 3);
    }
}
