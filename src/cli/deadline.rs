//! Timeouts of commands, and the messages about a wait: while it lasts and when it is given up.

use std::time::Duration;

use tokio::time::{sleep, timeout};

use super::{exit::Exit, output};
use crate::store::{Obstacle, Store};

/// Default timeout of brief commands.
const DEFAULT: Duration = Duration::from_secs(30);

/// Time after which a command prints what it is waiting for.
const SILENCE: Duration = Duration::from_secs(1);

/// Timeout of the query for the obstacles in the database.
const LOOK: Duration = Duration::from_secs(1);

/// Time limit of a command that waits for an answer, from `--timeout`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Deadline {
    limit: Option<Duration>,
    /// Whether a wait of more than a second is unusual, so that a message about it is printed.
    is_brief: bool,
}

/// Description of a wait, for the messages about it.
pub(super) struct Wait<'a> {
    /// Name of the database or node whose answer is missing.
    pub(super) whom: &'a str,
    /// Sentence that says what may have happened if no answer comes, and what to do.
    pub(super) undecided: &'a str,
    /// Store that can report the obstacles; `None` if the command waits for a node.
    pub(super) store: Option<&'a dyn Store>,
}

impl Deadline {
    /// Deadline for brief work: 30 seconds unless `given`. Zero disables it.
    pub(super) fn brief(given: Option<Duration>) -> Self {
        Self { is_brief: true, ..Self::whole(given.or(Some(DEFAULT))) }
    }

    /// Deadline for work whose duration depends on the amount of data: none unless `given`. Zero
    /// disables it.
    pub(super) fn whole(given: Option<Duration>) -> Self {
        let limit = given.filter(|limit| !limit.is_zero());
        Self { limit, is_brief: false }
    }

    /// Runs `work` and abandons it at the deadline. A request already sent to a database or a node
    /// may still take effect there.
    ///
    /// # Errors
    /// The error of `work`; or, at the deadline, an error that names the obstacles and says what
    /// may have happened.
    pub(super) async fn bound<T>(
        self,
        wait: &Wait<'_>,
        work: impl Future<Output = anyhow::Result<T>>,
    ) -> anyhow::Result<T> {
        let expired = async {
            match self.limit {
                Some(limit) => sleep(limit).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            done = work => done,
            () = expired => Err(self.given_up(wait).await),
            () = wait.tell(self.is_brief) => Err(anyhow::anyhow!("an endless wait returned")),
        }
    }

    async fn given_up(self, wait: &Wait<'_>) -> anyhow::Error {
        let seconds = self.limit.unwrap_or_default().as_secs();
        let obstacles = wait.obstacles().await;
        let why = if obstacles.is_empty() { String::new() } else { format!(" {obstacles}") };
        Exit::Unavailable.error(format!(
            "gave up after {seconds} s (--timeout): {} did not answer.{why} {}",
            wait.whom, wait.undecided
        ))
    }
}

impl Wait<'_> {
    /// Prints once that the command is waiting, if that is unusual, and once the obstacles in the
    /// database. Never returns.
    async fn tell(&self, is_brief: bool) {
        let mut told = !is_brief;
        loop {
            sleep(SILENCE).await;
            let obstacles = self.obstacles().await;
            if !obstacles.is_empty() {
                output::remark(&obstacles);
                return std::future::pending().await;
            }
            if !told {
                output::remark(&format!("Waiting for {}.", self.whom));
                told = true;
            }
        }
    }

    /// Describes the obstacles in the database, one sentence each; empty if none is known.
    async fn obstacles(&self) -> String {
        let Some(store) = self.store else { return String::new() };
        let found = timeout(LOOK, store.obstacles()).await;
        let found = found.map_or_else(|_| Vec::new(), Result::unwrap_or_default);
        found.iter().map(sentence).collect::<Vec<_>>().join(" ")
    }
}

fn sentence(obstacle: &Obstacle) -> String {
    match obstacle {
        Obstacle::Nodes { count, longest } => format!(
            "Waiting for {count} node{} that {} not applied the change, for at most {:.1} s, when \
             the lease ends.",
            if *count == 1 { "" } else { "s" },
            if *count == 1 { "has" } else { "have" },
            longest.as_secs_f64()
        ),
        Obstacle::Session { pid, name, since } => format!(
            "Database session {pid} ({}), whose transaction is {} s old, holds a lock that this \
             command waits for; `select pg_terminate_backend({pid})` ends it.",
            output::printable(name),
            since.as_secs()
        ),
        Obstacle::Migration => {
            "Waiting for another process that is migrating the database.".to_owned()
        }
        Obstacle::Replacement => {
            "Waiting for another process that is replacing the database.".to_owned()
        }
    }
}
