//! Telemetry for operators: log lines on standard error, metrics, and optionally spans. None of
//! them contains a secret.

pub mod lines;
mod log_writer;
mod metrics;
#[cfg(feature = "otel")]
mod otel;
mod readings;

use std::{
    io::{self, IsTerminal},
    panic, thread,
    time::Duration,
};

use anyhow::Context;
use tracing_subscriber::{EnvFilter, Layer, layer::SubscriberExt, util::SubscriberInitExt};

pub use self::{
    metrics::{CONTENT_TYPE, HandshakeFailure, ListenerKind, Metrics, OK, OpenConnection},
    readings::Readings,
};
use crate::config::{self, Log, LogFormat};

/// Target of the access log, which has one line per request. For a filter such as
/// `info,access=off`.
pub const ACCESS: &str = "access";

/// How long the end of a process waits for its last log lines to be written.
const FLUSH: Duration = Duration::from_secs(1);

/// Guard of the started telemetry. Dropping it writes the remaining log lines and exports the
/// remaining spans.
#[derive(Debug)]
#[must_use = "dropping it writes the last log lines and ends the export of spans"]
pub struct Telemetry {
    #[cfg(feature = "otel")]
    _exporter: Option<otel::Exporter>,
}

impl Drop for Telemetry {
    fn drop(&mut self) {
        lines::write_held();
        log_writer::flush(FLUSH);
    }
}

/// Writes the remaining log lines, as far as standard error takes them within a moment.
pub fn flush() {
    log_writer::flush(FLUSH);
}

/// Logs panics like everything else. The default hook writes to standard error directly, which
/// waits for its reader, and prints the message of the panic, which may hold a piece of a request.
fn log_panics() {
    panic::set_hook(Box::new(|panic| {
        let thread = thread::current();
        let thread = thread.name().unwrap_or_default();
        let at = panic.location().map(ToString::to_string).unwrap_or_default();
        tracing::error!(thread, "panicked at {at}");
    }));
}

/// Starts logging, and the export of spans if the configuration has a collector.
///
/// # Errors
/// If the filter is invalid, the exporter cannot be built, or logging was started already.
pub fn start(log: &Log) -> anyhow::Result<Telemetry> {
    let filter = &log.log;
    let filter = EnvFilter::try_new(filter)
        .with_context(|| format!("`{filter}` is not a log filter; try info or jeton=debug"))?;
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(lines::Lines)
        .with_ansi(io::stderr().is_terminal() && !config::without_color())
        // Otherwise the layer reports a failed write on standard error as well, and panics if that
        // fails too. A full disk under the log must not fail a request.
        .log_internal_errors(false);
    let lines = match log.log_format {
        LogFormat::Text => lines.boxed(),
        LogFormat::Json => lines.json().flatten_event(true).with_span_list(false).boxed(),
    };
    let subscriber = tracing_subscriber::registry().with(filter).with(lines);
    log_panics();
    let twice = "logging was started twice";
    #[cfg(feature = "otel")]
    {
        let exporter = log.otlp_endpoint.as_deref().map(otel::Exporter::start).transpose()?;
        subscriber.with(exporter.as_ref().map(otel::Exporter::layer)).try_init().context(twice)?;
        Ok(Telemetry { _exporter: exporter })
    }
    #[cfg(not(feature = "otel"))]
    {
        subscriber.try_init().context(twice)?;
        Ok(Telemetry {})
    }
}
