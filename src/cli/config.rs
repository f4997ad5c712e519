//! `jeton config`: shows the effective settings and their sources.

use clap::{ArgMatches, Args};
use serde_json::{Map, Value, json};

use super::{arguments::Format, output, table::Column};
use crate::config::{Config, File};

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  jeton config
  JETON_HTTP_ADDR=127.0.0.1:9090 jeton config --json")]
pub(super) struct ShowConfig {
    #[command(flatten)]
    format: Format,

    #[command(flatten)]
    config: Config,
}

impl ShowConfig {
    pub(super) fn run(self, matches: &ArgMatches, file: &File) -> anyhow::Result<()> {
        self.config.tls.check()?;
        let settings = file.settings(matches).into_iter();
        if self.format.json {
            let entry = |value: &str, source: &str| json!({ "value": value, "source": source });
            let object =
                settings.map(|setting| (setting.name, entry(&setting.value, setting.source)));
            output::json(&Value::Object(object.collect::<Map<_, _>>()));
        } else {
            let rows =
                settings.map(|setting| [setting.name, setting.value, setting.source.to_owned()]);
            let columns =
                [Column::whole("setting"), Column::text("value"), Column::whole("source")];
            output::table(columns, rows.collect());
        }
        Ok(())
    }
}
