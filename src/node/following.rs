//! The task that follows the change feed and renews the lease. Requests rely on the lease, so the
//! task ends after the last request.

use std::time::Duration;

use tokio::time::timeout;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::cache::Follower;

/// Timeout for giving the lease back. A lease that is not given back expires.
const END: Duration = Duration::from_secs(2);

/// The follower task, if it was started.
#[derive(Default)]
pub(super) struct Following {
    stop: CancellationToken,
    task: TaskTracker,
}

impl Following {
    /// Starts the task.
    pub(super) fn begin(&self, follower: Follower) {
        self.task.spawn(follower.run(self.stop.clone()));
    }

    /// Stops the task, which gives the lease back.
    pub(super) async fn end(&self) {
        self.stop.cancel();
        self.task.close();
        let _ = timeout(END, self.task.wait()).await;
    }
}

impl Drop for Following {
    /// Stops the task of a node that is dropped without a drain, for example because it could not
    /// start.
    fn drop(&mut self) {
        self.stop.cancel();
    }
}
