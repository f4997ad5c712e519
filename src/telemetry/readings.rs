//! Metrics that are not counted here but read, at each scrape, where they are kept: the use cases
//! and the stores know nothing of metrics, and keep plain numbers.

use std::fmt;

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric, MetricEncoder, NoLabelSet},
    metrics::{MetricType, counter::ConstCounter, gauge::ConstGauge},
};

use crate::{
    authority::{HashTimes, MemoryStats, Stats},
    store::Connections,
};

/// What is read at a scrape.
#[derive(Debug, Default)]
pub struct Readings {
    /// What the use cases count; none until there is a database.
    pub authority: Option<Stats>,
    /// Requests that found no place.
    pub busy: u64,
    /// The connections to the database of each lane.
    pub stores: Vec<(&'static str, Connections)>,
}

type Read = Box<dyn Fn() -> Readings + Send + Sync>;

/// Reads, and writes what it read.
pub(super) struct Collected(Read);

impl Collected {
    pub(super) fn new(read: impl Fn() -> Readings + Send + Sync + 'static) -> Self {
        Self(Box::new(read))
    }
}

impl fmt::Debug for Collected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Collected")
    }
}

impl Collector for Collected {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let Readings { authority, busy, stores } = (self.0)();
        let mut page = Page(encoder);
        let stats = authority.unwrap_or_default();
        let hash = &stats.hash;

        page.counters(
            "shed",
            "Requests that were turned away unserved",
            "cause",
            &[
                ("requests", busy),
                ("failures", stats.throttled),
                ("hash_queue", hash.refused),
                ("hash_wait", hash.abandoned),
            ],
        )?;
        page.gauges(
            "hash_queue_depth",
            "Secrets that wait for a hash",
            "lane",
            &[("issue", hash.waiting[0].into()), ("inspect", hash.waiting[1].into())],
        )?;
        let help = "How long the oldest of them has waited";
        page.gauge("hash_queue_oldest_seconds", help, hash.oldest.as_secs_f64())?;
        page.gauge("hash_running", "Hashes that are being computed", hash.running.into())?;
        page.histogram("hash_duration_seconds", "What a hash took", &hash.times)?;
        page.counters(
            "secret_checks",
            "Secrets that had been verified lately",
            "verified",
            &[("true", stats.verified), ("false", stats.unverified)],
        )?;
        page.counters(
            "introspections",
            "What tokens turned out to be",
            "active",
            &[("true", stats.active), ("false", stats.inactive)],
        )?;
        page.memory(&stats.memory)?;
        if let Some(offset) = stats.clock_offset {
            let help = "How far this machine's clock is ahead of the database's";
            page.gauge("clock_offset_seconds", help, offset.seconds())?;
        }
        let [recording, looking_up] = [stats.recording, stats.looking_up];
        let help = "Durable statements that recorded tokens";
        page.counter("record_flushes", help, recording.statements)?;
        page.counter("record_tokens", "Tokens that they recorded", recording.callers)?;
        let help = "Statements that looked tokens up";
        page.counter("lookup_statements", help, looking_up.statements)?;
        page.counter("lookup_tokens", "Tokens that they looked for", looking_up.callers)?;
        page.connections(&stores)
    }
}

/// A page that is being written.
struct Page<'a>(DescriptorEncoder<'a>);

impl Page<'_> {
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

    fn memory(&mut self, memory: &MemoryStats) -> fmt::Result {
        self.counters(
            "memory_lookups",
            "Clients and tokens that were asked for while what is remembered counted",
            "remembered",
            &[("true", memory.hits), ("false", memory.misses)],
        )?;
        #[expect(clippy::cast_precision_loss, reason = "counts of what fits into memory")]
        let [clients, tokens, bytes] =
            [memory.clients, memory.tokens, memory.token_bytes].map(|count| count as f64);
        let help = "Clients and tokens that are remembered";
        self.gauges("memory_entries", help, "of", &[("client", clients), ("token", tokens)])?;
        self.gauge("memory_token_bytes", "What these tokens take", bytes)?;
        let help = "1 while the lease runs, 0 while there is none";
        self.gauge("memory_trusted", help, f64::from(u8::from(memory.is_trusted)))
    }

    /// Three families, since labels of one must not add up to something without a meaning.
    fn connections(&mut self, stores: &[(&'static str, Connections)]) -> fmt::Result {
        let of = |value: fn(&Connections) -> u32| -> Vec<(&str, f64)> {
            stores.iter().map(|(lane, connections)| (*lane, value(connections).into())).collect()
        };
        let (open, idle, most) = (of(|all| all.open), of(|all| all.idle), of(|all| all.most));
        let help = "Connections to the database that are open";
        self.gauges("database_connections", help, "lane", &open)?;
        let help = "Of these, those that no request uses";
        self.gauges("database_connections_idle", help, "lane", &idle)?;
        let help = "The most that there may be";
        self.gauges("database_connections_max", help, "lane", &most)
    }
}
