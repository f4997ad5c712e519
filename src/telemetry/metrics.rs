//! The metrics of a node, with their names and labels. `docs/operations.md` explains their use.
//!
//! Every label has a fixed set of values. A client id as a label would create a series for each
//! client, and for each id that a caller invents.

mod labels;

use std::{fmt, time::Duration};

use prometheus_client::{
    encoding::text,
    metrics::{
        counter::Counter,
        family::Family,
        gauge::Gauge,
        histogram::{Histogram, exponential_buckets},
        info::Info,
    },
    registry::Registry,
};

use self::labels::{
    CallLabels, CheckLabels, HandshakeLabels, ListenerLabels, PartLabels, RequestLabels,
    RoundLabels,
};
pub use self::labels::{HandshakeFailure, ListenerKind};
use super::readings::{Readings, ScrapeCollector};
use crate::{
    domain::{AuditMark, Error, Lane},
    store::{Sizes, Upkeep},
};

/// Outcome of a successful request. The outcome of a failed one is the reason of its error.
pub const OK: &str = "OK";

/// Outcome of background work that failed.
const FAILED: &str = "FAILED";

/// A histogram of durations in seconds, with buckets that double from 0.5 ms to 16 s. The fastest
/// responses are below the first bound, and no request may take as long as the last.
type Seconds<L> = Family<L, Histogram, fn() -> Histogram>;

fn seconds() -> Histogram {
    Histogram::new(exponential_buckets(0.000_5, 2.0, 16))
}

/// The metrics of one node. Each node has its own, so that a process may run several nodes.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    requests: Family<RequestLabels, Counter>,
    latency: Seconds<CallLabels>,
    connections: Family<ListenerLabels, Gauge>,
    open_requests: Family<ListenerLabels, Gauge>,
    evictions: Family<ListenerLabels, Counter>,
    handshakes: Family<HandshakeLabels, Counter>,
    checks: Seconds<CheckLabels>,
    rounds: Family<RoundLabels, Counter>,
    partitions_made: Counter,
    expired_partitions_dropped: Counter,
    revocations_forgotten: Counter,
    changes_forgotten: Counter,
    hashes_forgotten: Counter,
    audit_forgotten: Counter,
    sizes: Family<PartLabels, Gauge>,
    secrets_expiring: Gauge,
    secrets_expired: Gauge,
}

impl Metrics {
    /// Creates the metrics that are counted here, and those that `read` collects at each scrape.
    #[must_use]
    pub fn new(read: impl Fn() -> Readings + Send + Sync + 'static) -> Self {
        let mut metrics = Self {
            registry: Registry::with_prefix("jeton"),
            requests: Family::default(),
            latency: Family::new_with_constructor(seconds),
            connections: Family::default(),
            open_requests: Family::default(),
            evictions: Family::default(),
            handshakes: Family::default(),
            checks: Family::new_with_constructor(seconds),
            rounds: Family::default(),
            partitions_made: Counter::default(),
            expired_partitions_dropped: Counter::default(),
            revocations_forgotten: Counter::default(),
            changes_forgotten: Counter::default(),
            hashes_forgotten: Counter::default(),
            audit_forgotten: Counter::default(),
            sizes: Family::default(),
            secrets_expiring: Gauge::default(),
            secrets_expired: Gauge::default(),
        };
        metrics.register(ScrapeCollector::new(read));
        for listener in [ListenerKind::Grpc, ListenerKind::Http, ListenerKind::Probes] {
            let listener = listener.as_str();
            drop(metrics.evictions.get_or_create(&ListenerLabels { listener }));
        }
        for listener in [ListenerKind::Grpc, ListenerKind::Http] {
            for cause in HandshakeFailure::ALL.map(HandshakeFailure::as_str) {
                let labels = HandshakeLabels { listener: listener.as_str(), cause };
                drop(metrics.handshakes.get_or_create(&labels));
            }
        }
        metrics
    }

    /// The metrics of a node, which has a database.
    #[must_use]
    pub fn of_node(read: impl Fn() -> Readings + Send + Sync + 'static) -> Self {
        let metrics = Self::new(read);
        metrics.create_series();
        metrics
    }

    /// Creates the series whose labels are known, so that they are scraped as 0 before their first
    /// event and a rate over them misses nothing.
    fn create_series(&self) {
        for outcome in [OK, FAILED] {
            drop(self.rounds.get_or_create(&RoundLabels { outcome }));
            for lane in Lane::ALL.map(Lane::as_str) {
                drop(self.checks.get_or_create(&CheckLabels { lane, outcome }));
            }
        }
        let listener = ListenerKind::Control.as_str();
        drop(self.evictions.get_or_create(&ListenerLabels { listener }));
        for cause in HandshakeFailure::ALL.map(HandshakeFailure::as_str) {
            drop(self.handshakes.get_or_create(&HandshakeLabels { listener, cause }));
        }
    }

    fn register(&mut self, collected: ScrapeCollector) {
        let registry = &mut self.registry;
        let build = Info::new([("version", env!("CARGO_PKG_VERSION"))]);
        registry.register("build", "Version of this build", build);
        let (what, help) = ("requests", "Requests answered or cancelled by the caller");
        registry.register(what, help, self.requests.clone());
        let (what, help) = ("request_duration_seconds", "From request header to response");
        registry.register(what, help, self.latency.clone());
        registry.register("connections", "Open connections", self.connections.clone());
        let help = "Requests whose response has not been sent completely, gRPC streams among them";
        registry.register("open_requests", help, self.open_requests.clone());
        let help = "Connections closed to make room for a new connection or request";
        registry.register("connections_evicted", help, self.evictions.clone());
        let help = "TLS handshakes that failed";
        registry.register("tls_handshakes_failed", help, self.handshakes.clone());
        let help = "Duration of the database check of a lane, made each second, including the wait \
                    for a connection";
        registry.register("database_check_seconds", help, self.checks.clone());
        let help = "Rounds of upkeep";
        registry.register("upkeep_rounds", help, self.rounds.clone());
        let help = "Partitions of the token table created ahead";
        registry.register("partitions_made", help, self.partitions_made.clone());
        let help = "Partitions of expired tokens dropped, or on SQLite batches of them deleted";
        registry.register(
            "expired_partitions_dropped",
            help,
            self.expired_partitions_dropped.clone(),
        );
        let help = "Revocation records deleted because they are no longer needed";
        registry.register("revocations_forgotten", help, self.revocations_forgotten.clone());
        let help = "Rows of the change feed deleted after every node has read them";
        registry.register("changes_forgotten", help, self.changes_forgotten.clone());
        let help = "Hashes of client secrets erased 30 days after the secrets had ended";
        registry.register("hashes_forgotten", help, self.hashes_forgotten.clone());
        let help = "Rows of the audit trail deleted after their retention period";
        registry.register("audit_forgotten", help, self.audit_forgotten.clone());
        let help = "Bytes on disk after the last round of upkeep: the database, its tokens, and \
                    its audit trail";
        registry.register("database_bytes", help, self.sizes.clone());
        let help = "Client secrets that end within 30 days";
        registry.register("secrets_expiring", help, self.secrets_expiring.clone());
        let help = "Client secrets that ended within the last day and are not retired";
        registry.register("secrets_expired", help, self.secrets_expired.clone());
        registry.register_collector(Box::new(collected));
    }

    /// Counts a request. `rpc` and `outcome` must be names of the API, whose sets are fixed.
    pub fn answered(
        &self,
        listener: ListenerKind,
        rpc: &'static str,
        outcome: &'static str,
        took: Duration,
    ) {
        let listener = listener.as_str();
        self.requests.get_or_create(&RequestLabels { listener, rpc, outcome }).inc();
        self.latency.get_or_create(&CallLabels { listener, rpc }).observe(took.as_secs_f64());
    }

    /// Counts a connection that was closed to make room for another.
    pub fn evicted(&self, listener: ListenerKind) {
        self.evictions.get_or_create(&ListenerLabels { listener: listener.as_str() }).inc();
    }

    /// Counts a TLS handshake that failed.
    pub fn handshake_failed(&self, listener: ListenerKind, cause: HandshakeFailure) {
        let labels = HandshakeLabels { listener: listener.as_str(), cause: cause.as_str() };
        self.handshakes.get_or_create(&labels).inc();
    }

    /// The gauge of a listener's open requests, which the listener keeps.
    #[must_use]
    pub fn open_requests(&self, listener: ListenerKind) -> Gauge {
        self.open_requests.get_or_create_owned(&ListenerLabels { listener: listener.as_str() })
    }

    /// Counts a connection as open until the returned guard is dropped.
    #[must_use]
    pub fn connected(&self, listener: ListenerKind) -> OpenConnection {
        let open =
            self.connections.get_or_create_owned(&ListenerLabels { listener: listener.as_str() });
        open.inc();
        OpenConnection(open)
    }

    /// Records a database check of a lane and its duration.
    pub fn checked(&self, lane: &'static str, checked: &Result<(), Error>, took: Duration) {
        let outcome = outcome(checked);
        self.checks.get_or_create(&CheckLabels { lane, outcome }).observe(took.as_secs_f64());
    }

    /// Records a round of upkeep.
    pub fn looked_after(&self, round: &Result<(Upkeep, Option<AuditMark>), Error>) {
        self.rounds.get_or_create(&RoundLabels { outcome: outcome(round) }).inc();
        if let Ok((done, _)) = round {
            self.partitions_made.inc_by(done.partitions_made.into());
            self.expired_partitions_dropped.inc_by(done.expired_partitions_dropped.into());
            self.revocations_forgotten.inc_by(done.revocations_forgotten);
            self.changes_forgotten.inc_by(done.changes_forgotten);
            self.hashes_forgotten.inc_by(done.hashes_forgotten);
            self.audit_forgotten.inc_by(done.audit_forgotten);
            let Sizes { database, tokens, audit } = done.sizes;
            for (part, size) in [("all", Some(database)), ("tokens", tokens), ("audit", audit)] {
                let Some(size) = size else { continue };
                let size = i64::try_from(size).unwrap_or(i64::MAX);
                self.sizes.get_or_create(&PartLabels { part }).set(size);
            }
        }
    }

    /// Records how many client secrets end soon, and how many have ended lately.
    pub fn secrets_end(&self, expiring: usize, expired: usize) {
        let number = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        self.secrets_expiring.set(number(expiring));
        self.secrets_expired.set(number(expired));
    }

    /// Renders all metrics in the OpenMetrics text format.
    ///
    /// # Errors
    /// None in practice: text can always be written to a string.
    pub fn render(&self) -> Result<String, fmt::Error> {
        let mut text = String::new();
        text::encode(&mut text, &self.registry)?;
        Ok(text)
    }
}

fn outcome<T>(result: &Result<T, Error>) -> &'static str {
    if result.is_ok() { OK } else { FAILED }
}

/// Guard of a connection that is counted as open.
#[derive(Debug)]
pub struct OpenConnection(Gauge);

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.0.dec();
    }
}
