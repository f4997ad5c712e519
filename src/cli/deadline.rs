//! How long a command waits, and what it says meanwhile and then.

use std::time::Duration;

use tokio::time::{sleep, timeout};

use super::output;
use crate::store::{Obstacle, Store};

/// How long commands wait that are over soon.
const DEFAULT: Duration = Duration::from_secs(30);

/// After how long a command says what it waits for.
const SILENCE: Duration = Duration::from_secs(1);

/// How long the database may take to say what stands in the way.
const LOOK: Duration = Duration::from_secs(1);

/// How long a command waits for an answer: `--timeout`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Deadline {
    limit: Option<Duration>,
    /// Whether it is unusual that a second goes by.
    is_brief: bool,
}

/// What a command waits for.
pub(super) struct Wait<'a> {
    /// Whose answer.
    pub(super) whom: &'a str,
    /// What may or may not have happened if no answer comes, and what to do then.
    pub(super) undecided: &'a str,
    /// Where to ask what stands in the way.
    pub(super) store: Option<&'a dyn Store>,
}

impl Deadline {
    /// For work that is over soon. Zero is without end.
    pub(super) fn brief(given: Option<Duration>) -> Self {
        Self { is_brief: true, ..Self::whole(given.or(Some(DEFAULT))) }
    }

    /// For work that takes as long as there is data: without end, if nothing else is said.
    pub(super) fn whole(given: Option<Duration>) -> Self {
        let limit = given.filter(|limit| !limit.is_zero());
        Self { limit, is_brief: false }
    }

    /// Does the work, and gives up when its time is over. What has been asked of a database or a
    /// node may still be carried out there.
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
            () = wait.tell(self.is_brief) => Err(anyhow::anyhow!("a wait ended that has no end")),
        }
    }

    async fn given_up(self, wait: &Wait<'_>) -> anyhow::Error {
        let seconds = self.limit.unwrap_or_default().as_secs();
        let obstacles = wait.obstacles().await;
        let why = if obstacles.is_empty() { String::new() } else { format!(" {obstacles}") };
        anyhow::anyhow!(
            "gave up after {seconds} s, in which {} did not answer (--timeout).{why} {}",
            wait.whom,
            wait.undecided
        )
    }
}

impl Wait<'_> {
    /// Says once that it takes long, if that is unusual, and once what stands in the way. Never
    /// ends.
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

    /// What stands in the way, in a sentence for each; empty if nothing is known.
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
            "Waiting for {count} node{} that {} not heard of the change, at most {:.1} s: until \
             the lease is over.",
            if *count == 1 { "" } else { "s" },
            if *count == 1 { "has" } else { "have" },
            longest.as_secs_f64()
        ),
        Obstacle::Session { pid, name, since } => format!(
            "The database session {pid} ({}), whose transaction is {} s old, holds a lock that is \
             waited for; `select pg_terminate_backend({pid})` ends it.",
            output::printable(name),
            since.as_secs()
        ),
        Obstacle::Migration => "Waiting for another process that migrates the database.".to_owned(),
        Obstacle::Replacement => {
            "Waiting for another process that replaces the database.".to_owned()
        }
    }
}
