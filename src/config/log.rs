//! Settings of logging and tracing.

use clap::Args;

/// Log filter and format, and the OpenTelemetry endpoint in builds with the feature `otel`.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Log")]
pub struct Log {
    /// Log filter in the syntax of tracing, such as info, jeton=debug or info,access=off
    #[arg(long, value_name = "FILTER", env = "JETON_LOG", default_value = "info")]
    pub log: String,

    /// Log format
    #[arg(long, value_name = "FORMAT", env = "JETON_LOG_FORMAT", default_value = "text")]
    pub log_format: LogFormat,

    /// OpenTelemetry collector that receives a span for each request, as `http://127.0.0.1:4317`
    #[cfg(feature = "otel")]
    #[arg(long, value_name = "URL", env = "JETON_OTLP_ENDPOINT")]
    pub otlp_endpoint: Option<String>,
}

/// Format of log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// Plain text, for people
    Text,
    /// One JSON object per line, for machines
    Json,
}
