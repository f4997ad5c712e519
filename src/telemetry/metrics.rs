//! The metrics of a node. Their names and labels stand here, once; `docs/operations.md` says what
//! to make of them.
//!
//! Every label has a value from a fixed set. A client id would make a series for each client, and
//! for each one that somebody invents.

use std::{fmt, time::Duration};

use prometheus_client::{
    encoding::{EncodeLabelSet, text},
    metrics::{
        counter::Counter,
        family::Family,
        gauge::Gauge,
        histogram::{Histogram, exponential_buckets},
        info::Info,
    },
    registry::Registry,
};

use super::readings::{Readings, ScrapeCollector};
use crate::{
    domain::{AuditMark, Error},
    store::Upkeep,
};

/// The type that `GET /metrics` answers with.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// What a request came to when it went well. Otherwise its outcome is the reason of its error.
pub const OK: &str = "OK";

/// A listener, by what it serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ListenerKind {
    /// The RPCs.
    Grpc,
    /// Their HTTP form.
    Http,
    /// What is for operators.
    Probes,
}

impl ListenerKind {
    /// Its name in labels and logs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Grpc => "grpc",
            Self::Http => "http",
            Self::Probes => "probes",
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    listener: &'static str,
    rpc: &'static str,
    outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CallLabels {
    listener: &'static str,
    rpc: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ListenerLabels {
    listener: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CheckLabels {
    lane: &'static str,
    outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RoundLabels {
    outcome: &'static str,
}

/// A histogram of seconds, from half a millisecond to sixteen seconds by doubling: the quickest
/// answers are below it, and no request may take as long as its end.
type Seconds<L> = Family<L, Histogram, fn() -> Histogram>;

fn seconds() -> Histogram {
    Histogram::new(exponential_buckets(0.000_5, 2.0, 16))
}

/// The metrics of one node. Each node has its own, so that a process may hold several.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    requests: Family<RequestLabels, Counter>,
    latency: Seconds<CallLabels>,
    connections: Family<ListenerLabels, Gauge>,
    checks: Seconds<CheckLabels>,
    rounds: Family<RoundLabels, Counter>,
    partitions_made: Counter,
    expired_batches_removed: Counter,
    revocations_forgotten: Counter,
    changes_forgotten: Counter,
    audit_forgotten: Counter,
}

impl Metrics {
    /// Metrics that are counted here, and those that are read where they are kept, by `read`.
    #[must_use]
    pub fn new(read: impl Fn() -> Readings + Send + Sync + 'static) -> Self {
        let mut metrics = Self {
            registry: Registry::with_prefix("jeton"),
            requests: Family::default(),
            latency: Family::new_with_constructor(seconds),
            connections: Family::default(),
            checks: Family::new_with_constructor(seconds),
            rounds: Family::default(),
            partitions_made: Counter::default(),
            expired_batches_removed: Counter::default(),
            revocations_forgotten: Counter::default(),
            changes_forgotten: Counter::default(),
            audit_forgotten: Counter::default(),
        };
        metrics.register(ScrapeCollector::new(read));
        metrics
    }

    fn register(&mut self, collected: ScrapeCollector) {
        let registry = &mut self.registry;
        let build = Info::new([("version", env!("CARGO_PKG_VERSION"))]);
        registry.register("build", "What is running", build);
        let (what, help) = ("requests", "Requests that were answered, or given up by the caller");
        registry.register(what, help, self.requests.clone());
        let (what, help) = ("request_duration_seconds", "From the head of a request to its answer");
        registry.register(what, help, self.latency.clone());
        registry.register("connections", "Connections that are open", self.connections.clone());
        let help = "A round trip through the connections that requests use, made each second, \
                    with the wait for a connection";
        registry.register("database_check_seconds", help, self.checks.clone());
        let help = "Rounds of looking after the store";
        registry.register("upkeep_rounds", help, self.rounds.clone());
        let help = "Partitions of the token table that were made ahead";
        registry.register("partitions_made", help, self.partitions_made.clone());
        let help = "Partitions, on SQLite slices, of dead tokens that were dropped";
        registry.register("expired_batches_removed", help, self.expired_batches_removed.clone());
        let help = "Marks of revoked tokens that were no longer needed";
        registry.register("revocations_forgotten", help, self.revocations_forgotten.clone());
        let help = "Rows of the change feed that every node had read";
        registry.register("changes_forgotten", help, self.changes_forgotten.clone());
        let help = "Rows of the audit trail that were kept for long enough";
        registry.register("audit_forgotten", help, self.audit_forgotten.clone());
        registry.register_collector(Box::new(collected));
    }

    /// Counts a request. `rpc` and `outcome` are names of the contract, and of nothing else.
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

    /// Counts a connection as open until what is returned is dropped.
    #[must_use]
    pub fn connected(&self, listener: ListenerKind) -> OpenConnection {
        let open =
            self.connections.get_or_create_owned(&ListenerLabels { listener: listener.as_str() });
        open.inc();
        OpenConnection(open)
    }

    /// Counts a look at the connections to the database.
    pub fn checked(&self, lane: &'static str, checked: &Result<(), Error>, took: Duration) {
        let outcome = outcome(checked);
        self.checks.get_or_create(&CheckLabels { lane, outcome }).observe(took.as_secs_f64());
    }

    /// Counts a round of upkeep.
    pub fn looked_after(&self, round: &Result<(Upkeep, Option<AuditMark>), Error>) {
        self.rounds.get_or_create(&RoundLabels { outcome: outcome(round) }).inc();
        if let Ok((done, _)) = round {
            self.partitions_made.inc_by(done.partitions_made.into());
            self.expired_batches_removed.inc_by(done.expired_batches_removed.into());
            self.revocations_forgotten.inc_by(done.revocations_forgotten);
            self.changes_forgotten.inc_by(done.changes_forgotten);
            self.audit_forgotten.inc_by(done.audit_forgotten);
        }
    }

    /// All of them, in the text form of OpenMetrics.
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
    if result.is_ok() { OK } else { "FAILED" }
}

/// A connection that is counted as open.
#[derive(Debug)]
pub struct OpenConnection(Gauge);

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.0.dec();
    }
}
