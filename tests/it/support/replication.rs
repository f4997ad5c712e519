//! Two servers, of which one is the primary and the other its hot standby: they change places in
//! order or by a crash, and the standby lags or is away, as in a real cluster.

use rustix::process::Signal;

use super::postgres::PrivateServer;

/// A standby that lost its primary looks for it again soon. What it has not read is kept for it.
const SETTINGS: [&str; 4] =
    ["-c", "wal_retrieve_retry_interval=100ms", "-c", "wal_keep_size=256MB"];

const RELOAD: &str = "select pg_reload_conf()";

/// Whether a commit waits until the standby has it on its disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Replication {
    Asynchronous,
    Synchronous,
}

/// A primary and its hot standby.
pub(crate) struct Pair {
    servers: [PrivateServer; 2],
    /// Which of them is the primary.
    primary: usize,
    replication: Replication,
    /// Whether the other has to take the data of the primary anew, since it crashed.
    is_stale: bool,
}

impl Pair {
    pub(crate) async fn start(replication: Replication, settings: &[&str]) -> Self {
        let settings = [settings, &SETTINGS].concat();
        let primary = PrivateServer::start(&settings);
        let standby = PrivateServer::standby_of(&primary, &settings);
        let pair = Self { servers: [primary, standby], primary: 0, replication, is_stale: false };
        pair.until_it_follows().await;
        pair
    }

    pub(crate) const fn primary(&self) -> &PrivateServer {
        &self.servers[self.primary]
    }

    /// The other one, which may be down.
    pub(crate) const fn standby(&self) -> &PrivateServer {
        &self.servers[1 - self.primary]
    }

    /// A clean switchover: the primary is stopped in order, and the standby becomes the primary
    /// when it has everything. No commit is lost. The former primary is down until it rejoins, and
    /// with synchronous replication commits wait for that.
    pub(crate) async fn switch_over(&mut self) {
        self.primary().halt(Signal::INT).await;
        let last = self.primary().last_position();
        let has_all = format!("select pg_last_wal_replay_lsn() > '{last}'::pg_lsn");
        self.standby().until(&has_all).await;
        self.promote().await;
    }

    /// The primary crashes, and the standby takes its place, without a standby of its own until the
    /// former primary rejoins. With synchronous replication no acknowledged commit is lost.
    pub(crate) async fn fail_over(&mut self) {
        self.primary().halt(Signal::KILL).await;
        let alone = ["alter system reset synchronous_standby_names", RELOAD];
        self.standby().execute(&alone).await;
        self.is_stale = true;
        self.promote().await;
    }

    async fn promote(&mut self) {
        self.standby().until("select pg_promote(true, 30)").await;
        self.primary = 1 - self.primary;
    }

    /// The former primary comes back as a standby, and the pair is as it was in the beginning.
    pub(crate) async fn rejoin(&mut self) {
        if std::mem::take(&mut self.is_stale) {
            self.standby().copy_from(self.primary());
        } else {
            self.standby().follow(self.primary());
        }
        self.standby().resume().await;
        self.until_it_follows().await;
    }

    /// The standby stops. With synchronous replication, commits then wait for it.
    pub(crate) async fn stop_standby(&self) {
        self.standby().halt(Signal::INT).await;
    }

    pub(crate) async fn start_standby(&self) {
        self.standby().resume().await;
        self.until_it_follows().await;
    }

    /// The standby goes on to receive and to confirm, and shows what was the case at this moment.
    pub(crate) async fn pause_replay(&self) {
        self.standby().execute(&["select pg_wal_replay_pause()"]).await;
        self.standby().until("select pg_get_wal_replay_pause_state() = 'paused'").await;
    }

    pub(crate) async fn resume_replay(&self) {
        self.standby().execute(&["select pg_wal_replay_resume()"]).await;
    }

    async fn until_it_follows(&self) {
        let streams = "select exists (select from pg_stat_replication where state = 'streaming')";
        self.primary().until(streams).await;
        if self.replication == Replication::Synchronous {
            for server in &self.servers {
                let both = ["alter system set synchronous_standby_names = '*'", RELOAD];
                server.execute(&both).await;
            }
            let counts = "select exists (select from pg_stat_replication
                                         where state = 'streaming' and sync_state = 'sync')";
            self.primary().until(counts).await;
        }
    }
}
