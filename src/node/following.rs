//! The task that follows the change feed and holds the lease. Requests are answered by the lease,
//! so it ends after the last of them.

use std::time::Duration;

use tokio::time::timeout;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::cache::Follower;

/// How long the end may take. A lease that cannot be given back ends by itself.
const END: Duration = Duration::from_secs(2);

/// The task, if it has begun.
#[derive(Default)]
pub(super) struct Following {
    stop: CancellationToken,
    task: TaskTracker,
}

impl Following {
    /// Begins to follow.
    pub(super) fn begin(&self, follower: Follower) {
        self.task.spawn(follower.run(self.stop.clone()));
    }

    /// Gives the lease back.
    pub(super) async fn end(&self) {
        self.stop.cancel();
        self.task.close();
        let _ = timeout(END, self.task.wait()).await;
    }
}

impl Drop for Following {
    /// A node that is dropped, for one because it could not start, leaves no task behind.
    fn drop(&mut self) {
        self.stop.cancel();
    }
}
