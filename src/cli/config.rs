//! `jeton config`: shows the effective settings and their sources.

use clap::{ArgMatches, Args};
use serde_json::{Map, Value, json};

use super::output;
use crate::config::{Config, File};

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  jeton config
  JETON_HTTP_ADDR=127.0.0.1:9090 jeton config --json")]
pub(super) struct ShowConfig {
    /// Print JSON
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    config: Config,
}

impl ShowConfig {
    pub(super) fn run(self, matches: &ArgMatches, file: &File) -> anyhow::Result<()> {
        self.config.tls.check()?;
        let settings = file.settings(matches).into_iter();
        if self.json {
            let entry = |value: &str, source: &str| json!({ "value": value, "source": source });
            let object =
                settings.map(|setting| (setting.name, entry(&setting.value, setting.source)));
            output::json(&Value::Object(object.collect::<Map<_, _>>()));
        } else {
            let rows =
                settings.map(|setting| [setting.name, setting.value, setting.source.to_owned()]);
            output::table(["setting", "value", "source"], rows.collect());
        }
        Ok(())
    }
}
