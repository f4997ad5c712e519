//! The formats of `GET /metrics`: OpenMetrics, and the text format of Prometheus before it.

use std::fmt::Write;

/// A format of the page of metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exposition {
    /// OpenMetrics 1.0, which Prometheus asks for.
    OpenMetrics,
    /// The text format 0.0.4, which everything that reads metrics understands.
    Text,
}

impl Exposition {
    /// The format for a caller with this `Accept` header: OpenMetrics only if it names that format,
    /// as in the client libraries of Prometheus.
    #[must_use]
    pub fn accepted(accept: Option<&str>) -> Self {
        let names_it = |range: &str| range.trim_start().starts_with("application/openmetrics-text");
        match accept {
            Some(ranges) if ranges.split(',').any(names_it) => Self::OpenMetrics,
            _ => Self::Text,
        }
    }

    /// Its content type.
    #[must_use]
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::Text => "text/plain; version=0.0.4; charset=utf-8",
        }
    }

    /// A page in this format, from the page in OpenMetrics.
    #[must_use]
    pub fn of(self, page: String) -> String {
        match self {
            Self::OpenMetrics => page,
            Self::Text => text(&page),
        }
    }
}

/// Converts a page. Samples are the same in both formats. In the text format, a metric is named as
/// its samples are, with the suffix of its type, and there is no `info` and no `# EOF`.
fn text(page: &str) -> String {
    let mut text = String::with_capacity(page.len());
    let mut help = None;
    for line in page.lines() {
        let mut words = line.splitn(4, ' ');
        let told = match (words.next(), words.next(), words.next(), words.next()) {
            (Some("#"), Some("HELP"), Some(_), Some(described)) => {
                // Its name depends on the type, which is in the next line.
                help = Some(described);
                Ok(())
            }
            (Some("#"), Some("TYPE"), Some(name), Some(kind)) => {
                let (suffix, kind) = match kind {
                    "counter" => ("_total", "counter"),
                    "info" => ("_info", "gauge"),
                    "unknown" => ("", "untyped"),
                    kind => ("", kind),
                };
                let help = help.take().unwrap_or_default();
                writeln!(text, "# HELP {name}{suffix} {help}\n# TYPE {name}{suffix} {kind}")
            }
            (Some("#"), ..) => Ok(()),
            _ => writeln!(text, "{line}"),
        };
        told.expect("text can always be written to a string");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn openmetrics_is_sent_to_those_who_name_it() {
        let prometheus = "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;q=0.2";
        assert_eq!(Exposition::accepted(Some(prometheus)), Exposition::OpenMetrics);
        let second = "text/plain, application/openmetrics-text";
        assert_eq!(Exposition::accepted(Some(second)), Exposition::OpenMetrics);
        for accept in [None, Some("*/*"), Some("text/plain;version=0.0.4"), Some("")] {
            assert_eq!(Exposition::accepted(accept), Exposition::Text, "{accept:?}");
        }
    }

    #[test]
    fn in_the_text_format_a_metric_is_named_as_its_samples_are() {
        let page = "\
# HELP a_b Things.
# TYPE a_b counter
a_b_total{c=\"# d e f\"} 1
# HELP build Version.
# TYPE build info
build_info{v=\"1\"} 1
# HELP s_seconds Time.
# TYPE s_seconds histogram
# UNIT s_seconds seconds
s_seconds_bucket{le=\"+Inf\"} 2
# EOF
";
        let expected = "\
# HELP a_b_total Things.
# TYPE a_b_total counter
a_b_total{c=\"# d e f\"} 1
# HELP build_info Version.
# TYPE build_info gauge
build_info{v=\"1\"} 1
# HELP s_seconds Time.
# TYPE s_seconds histogram
s_seconds_bucket{le=\"+Inf\"} 2
";
        assert_eq!(Exposition::Text.of(page.to_owned()), expected);
        assert_eq!(Exposition::OpenMetrics.of(page.to_owned()), page);
    }
}
