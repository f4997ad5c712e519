//! Metrics that are collected at each scrape. The use cases and the stores keep plain numbers and
//! do not depend on the metrics library.

use std::fmt;

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric, MetricEncoder, NoLabelSet},
    metrics::{MetricType, counter::ConstCounter, gauge::ConstGauge},
};

use super::log_writer;
use crate::{
    domain::Lane,
    stats::{CacheStats, HashTimes, QuotaStats, SecretUseStats, Stats},
    store::Connections,
};

/// Values collected at a scrape.
#[derive(Debug, Default)]
pub struct Readings {
    /// Statistics of the use cases; `None` until the database is open, and always in a shim.
    pub authority: Option<Stats>,
    /// Requests refused because their lane had no free permit.
    pub busy: u64,
    /// Calls that failed because the link to the upstream did; `None` in a node.
    pub upstream_failures: Option<u64>,
    /// Database connections of each lane.
    pub stores: Vec<(&'static str, Connections)>,
}

type Read = Box<dyn Fn() -> Readings + Send + Sync>;

/// Collects the values at each scrape and encodes them.
pub(super) struct ScrapeCollector(Read);

impl ScrapeCollector {
    pub(super) fn new(read: impl Fn() -> Readings + Send + Sync + 'static) -> Self {
        Self(Box::new(read))
    }
}

impl fmt::Debug for ScrapeCollector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ScrapeCollector")
    }
}

impl Collector for ScrapeCollector {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let Readings { authority, busy, upstream_failures, stores } = (self.0)();
        let mut encoder = Encoder(encoder);
        // Without stores it is a shim, which needs no lease and would set off its alert.
        let is_node = !stores.is_empty();
        let stats = authority.unwrap_or_default();
        let hash = &stats.hash;

        encoder.counters(
            "shed",
            "Requests rejected because of a limit",
            "cause",
            &[
                ("concurrency_limit", busy),
                ("lockout", stats.throttled),
                ("hash_queue", hash.refused),
                ("hash_wait", hash.abandoned),
            ],
        )?;
        encoder.gauges(
            "hash_queue_depth",
            "Secrets waiting in the hash queue",
            "lane",
            &Lane::ALL.map(|lane| (lane.as_str(), f64::from(hash.waiting[lane]))),
        )?;
        let help = "Age of the oldest secret in the hash queue";
        encoder.gauge("hash_queue_oldest_seconds", help, hash.oldest.as_secs_f64())?;
        encoder.gauge("hash_running", "Hashes being computed", hash.running.into())?;
        encoder.histogram("hash_duration_seconds", "Duration of a hash", &hash.times)?;
        encoder.counters(
            "secret_checks",
            "Client secrets checked, and whether the result was cached",
            "cached",
            &[("true", stats.verified), ("false", stats.unverified)],
        )?;
        encoder.counters(
            "introspections",
            "Introspections, and whether the token was active",
            "active",
            &[("true", stats.active), ("false", stats.inactive)],
        )?;
        if let Some(failures) = upstream_failures {
            let help = "Calls that failed because the link to the upstream did";
            encoder.counter("upstream_failures", help, failures)?;
        }
        encoder.secret_uses(stats.secret_uses)?;
        encoder.quota(&stats.quota)?;
        encoder.cache(&stats.cache)?;
        if is_node {
            let help = "1 while this node may answer: it holds a lease, or its database needs none";
            encoder.gauge("lease_held", help, f64::from(u8::from(stats.may_answer)))?;
            let help = "Age of the last record of which secrets this node has seen used";
            encoder.gauge("evidence_age_seconds", help, stats.evidence_age.as_secs_f64())?;
        }
        if let Some(offset) = stats.clock_offset {
            let help = "Seconds by which the clock of this machine is ahead of the database";
            encoder.gauge("clock_offset_seconds", help, offset.seconds())?;
        }
        encoder.batches(&stats)?;
        let help = "Log lines dropped because standard error was not read or could not be written";
        encoder.counter("log_lines_dropped", help, log_writer::dropped())?;
        encoder.connections(&stores)
    }
}

/// Encoder of one scrape.
struct Encoder<'a>(DescriptorEncoder<'a>);

impl Encoder<'_> {
    /// Batches of statements on tokens.
    fn batches(&mut self, stats: &Stats) -> fmt::Result {
        let [recording, looking_up] = [stats.recording, stats.looking_up];
        let help = "Batches of tokens written to the database";
        self.counter("issue_batches", help, recording.statements)?;
        self.counter("issue_batch_tokens", "Tokens in these batches", recording.callers)?;
        let help = "Batches of tokens read from the database";
        self.counter("lookup_batches", help, looking_up.statements)?;
        self.counter("lookup_batch_tokens", "Tokens in these batches", looking_up.callers)?;
        let (help, revoking) = ("Batches of tokens revoked in the database", stats.revoking);
        self.counter("revocation_batches", help, revoking.statements)?;
        self.counter("revocation_batch_tokens", "Tokens in these batches", revoking.callers)
    }

    fn counters(
        &mut self,
        name: &str,
        help: &str,
        label: &str,
        values: &[(&str, u64)],
    ) -> fmt::Result {
        let mut family = self.0.encode_descriptor(name, help, None, MetricType::Counter)?;
        values.iter().try_for_each(|(of, value)| {
            ConstCounter::new(*value).encode(family.encode_family(&[(label, *of)])?)
        })
    }

    fn counter(&mut self, name: &str, help: &str, value: u64) -> fmt::Result {
        let metric = self.0.encode_descriptor(name, help, None, MetricType::Counter)?;
        ConstCounter::new(value).encode(metric)
    }

    fn gauges(
        &mut self,
        name: &str,
        help: &str,
        label: &str,
        values: &[(&str, f64)],
    ) -> fmt::Result {
        let mut family = self.0.encode_descriptor(name, help, None, MetricType::Gauge)?;
        values.iter().try_for_each(|(of, value)| {
            ConstGauge::new(*value).encode(family.encode_family(&[(label, *of)])?)
        })
    }

    fn gauge(&mut self, name: &str, help: &str, value: f64) -> fmt::Result {
        let metric: MetricEncoder<'_> =
            self.0.encode_descriptor(name, help, None, MetricType::Gauge)?;
        ConstGauge::new(value).encode(metric)
    }

    fn histogram(&mut self, name: &str, help: &str, times: &HashTimes) -> fmt::Result {
        let counts: Vec<_> = times.buckets().collect();
        let count = counts.iter().map(|(_, count)| count).sum();
        let mut metric = self.0.encode_descriptor(name, help, None, MetricType::Histogram)?;
        metric.encode_histogram::<NoLabelSet>(times.total.as_secs_f64(), count, &counts, None)
    }

    fn secret_uses(&mut self, uses: SecretUseStats) -> fmt::Result {
        let SecretUseStats { live, retiring, refused } = uses;
        self.counters(
            "secret_uses",
            "Authentications with client secrets, and refusals of secrets that have ended",
            "state",
            &[("live", live), ("retiring", retiring), ("refused", refused)],
        )
    }

    fn quota(&mut self, quota: &QuotaStats) -> fmt::Result {
        let [rate, live] = quota.exceeded;
        self.counters(
            "quota_exceeded",
            "Token requests of clients that had used up their quota; refused if it is enforced",
            "quota",
            &[("rate", rate), ("live", live)],
        )?;
        let help = "How often a client reached this share of its quota, in percent";
        let mut family =
            self.0.encode_descriptor("quota_reached", help, None, MetricType::Counter)?;
        for (of, steps) in [("rate", quota.reached[0]), ("live", quota.reached[1])] {
            for (percent, times) in QuotaStats::PERCENTS.iter().zip(steps) {
                let percent = percent.to_string();
                let labels = [("quota", of), ("percent", percent.as_str())];
                ConstCounter::new(times).encode(family.encode_family(&labels)?)?;
            }
        }
        Ok(())
    }

    fn cache(&mut self, cache: &CacheStats) -> fmt::Result {
        self.counters(
            "cache_lookups",
            "Cache look-ups of clients and tokens while a lease was held",
            "result",
            &[("hit", cache.hits), ("miss", cache.misses)],
        )?;
        #[expect(clippy::cast_precision_loss, reason = "counts of what fits into memory")]
        let [clients, tokens, bytes] =
            [cache.clients, cache.tokens, cache.token_bytes].map(|count| count as f64);
        let help = "Entries in the cache";
        self.gauges("cache_entries", help, "kind", &[("client", clients), ("token", tokens)])?;
        self.gauge("cache_token_bytes", "Memory of the cached tokens, in bytes", bytes)
    }

    /// Encodes three metrics, because the sum over the labels of one metric must have a meaning.
    fn connections(&mut self, stores: &[(&'static str, Connections)]) -> fmt::Result {
        let of = |value: fn(&Connections) -> u32| -> Vec<(&str, f64)> {
            stores.iter().map(|(lane, connections)| (*lane, value(connections).into())).collect()
        };
        let (open, idle, most) = (of(|all| all.open), of(|all| all.idle), of(|all| all.most));
        let help = "Open connections to the database";
        self.gauges("database_connections", help, "lane", &open)?;
        let help = "Open connections to the database that no request uses";
        self.gauges("database_connections_idle", help, "lane", &idle)?;
        let help = "Maximum connections to the database";
        self.gauges("database_connections_max", help, "lane", &most)
    }
}
