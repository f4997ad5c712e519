//! The report of a run, and its comparison with an earlier one.

use std::{fs, path::Path};

use anyhow::{Context, ensure};
use serde::{Serialize, Serializer};
use serde_json::{Map, Value};

use super::work::Profile;
use crate::cli::output;

/// Version of the report. It changes when a figure changes its meaning, and reports of different
/// versions are not compared.
const VERSION: u32 = 1;

/// The figures of a run, in the order in which they are read.
pub(super) struct Report(Vec<(&'static str, Value)>);

impl Serialize for Report {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, value)| (name, value)))
    }
}

impl Report {
    /// A report with these figures.
    pub(super) fn new(
        profile: Profile,
        figures: impl IntoIterator<Item = (&'static str, Value)>,
    ) -> Self {
        let head = [("version", VERSION.into()), ("profile", profile.name().into())];
        Self(head.into_iter().chain(figures).collect())
    }

    /// Prints the figures as JSON.
    pub(super) fn print_json(&self) -> anyhow::Result<()> {
        output::say(&serde_json::to_string_pretty(self)?);
        Ok(())
    }

    /// Prints the figures as a table. `unknown` says why a figure is unknown.
    pub(super) fn print_table(&self, unknown: impl Fn(&str) -> &'static str) {
        let rows = self.0.iter().filter(|(name, _)| *name != "version");
        let rows = rows.map(|(name, value)| [readable(name), shown(value, unknown(name))]);
        output::table(["measure", "value"], rows.collect());
    }

    /// Prints each figure beside that of an earlier run, with the ratio now : before.
    pub(super) fn print_beside(&self, earlier: &Earlier) {
        let rows = self.0.iter().filter(|(name, _)| !["version", "profile"].contains(name));
        let rows = rows.map(|(name, now)| {
            let before = earlier.0.get(*name).unwrap_or(&Value::Null);
            let ratio = match (before.as_f64(), now.as_f64()) {
                (Some(before), Some(now)) if before > 0.0 => format!("{:.2}", now / before),
                _ => "-".to_owned(),
            };
            [readable(name), shown(before, "-"), shown(now, "-"), ratio]
        });
        output::table(["measure", "before", "now", "ratio"], rows.collect());
    }
}

/// A report of an earlier run of the same profile.
pub(super) struct Earlier(Map<String, Value>);

impl Earlier {
    /// Reads the report that an earlier run printed.
    ///
    /// # Errors
    /// If it cannot be read, or is a report of another profile or version.
    pub(super) fn read(path: &Path, profile: Profile) -> anyhow::Result<Self> {
        let (path, name) = (path.display(), profile.name());
        let remedy = format!("make one with `jeton bench {name} --json > FILE`");
        let text = fs::read_to_string(path.to_string())
            .with_context(|| format!("--compare: {path} cannot be read"))?;
        let report: Map<String, Value> = serde_json::from_str(&text)
            .with_context(|| format!("--compare: {path} is not a report: {remedy}"))?;
        ensure!(
            report.get("version").and_then(Value::as_u64) == Some(VERSION.into()),
            "--compare: {path} is not a report of version {VERSION}: {remedy}"
        );
        let other = report.get("profile").and_then(Value::as_str).unwrap_or("unknown");
        ensure!(
            other == name,
            "--compare: {path} is of the profile {other}, and this run is of {name}: {remedy}"
        );
        Ok(Self(report))
    }
}

fn readable(name: &str) -> String {
    name.replace('_', " ")
}

fn shown(value: &Value, unknown: &str) -> String {
    match value {
        Value::Null => unknown.to_owned(),
        Value::String(text) => text.clone(),
        Value::Object(answers) => {
            let answers = answers.iter().map(|(code, count)| format!("{code} {count}"));
            answers.collect::<Vec<_>>().join(", ")
        }
        other => other.to_string(),
    }
}
