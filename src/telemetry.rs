//! What a node tells those who look after it: what happened, as lines on standard error, and how
//! much of it, as metrics. Never a secret.

pub mod lines;
mod metrics;
#[cfg(feature = "otel")]
mod otel;
mod readings;

use std::io::{self, IsTerminal};

use anyhow::Context;
use tracing_subscriber::{EnvFilter, Layer, layer::SubscriberExt, util::SubscriberInitExt};

pub use self::{
    metrics::{CONTENT_TYPE, ListenerKind, Metrics, OK, OpenConnection},
    readings::Readings,
};
use crate::config::{Log, LogFormat};

/// The target of the lines that tell of requests, one each, for a filter such as
/// `info,access=off`.
pub const ACCESS: &str = "access";

/// What has been started, until it is dropped.
#[derive(Debug)]
#[must_use = "what is dropped tells no more"]
pub struct Telemetry {
    #[cfg(feature = "otel")]
    _exporter: Option<otel::Exporter>,
}

/// Starts logging.
pub fn start(config: &Log) -> anyhow::Result<Telemetry> {
    let filter = &config.log;
    let filter = EnvFilter::try_new(filter)
        .with_context(|| format!("`{filter}` is not a log filter; try info or jeton=debug"))?;
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(lines::Lines)
        .with_ansi(io::stderr().is_terminal())
        // It would complain of a line that cannot be written on standard error as well, and would
        // panic where that fails too: a full disk under a log must cost no request.
        .log_internal_errors(false);
    let lines = match config.log_format {
        LogFormat::Text => lines.boxed(),
        LogFormat::Json => lines.json().flatten_event(true).with_span_list(false).boxed(),
    };
    let subscriber = tracing_subscriber::registry().with(filter).with(lines);
    let twice = "logging was started twice";
    #[cfg(feature = "otel")]
    {
        let exporter = config.otlp_endpoint.as_deref().map(otel::Exporter::start).transpose()?;
        subscriber.with(exporter.as_ref().map(otel::Exporter::layer)).try_init().context(twice)?;
        Ok(Telemetry { _exporter: exporter })
    }
    #[cfg(not(feature = "otel"))]
    {
        subscriber.try_init().context(twice)?;
        Ok(Telemetry {})
    }
}
