//! `jeton config`

use std::path::PathBuf;

use clap::{ArgMatches, Args};
use serde_json::{Map, Value, json};

use super::output;
use crate::config::Config;

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
    pub(super) fn run(self, matches: &ArgMatches, file: Option<&PathBuf>) -> anyhow::Result<()> {
        let loaded = Config::load(Some(matches), file)?;
        let source = |key: &str| loaded.sources.get(key).copied().unwrap_or("default");
        let shown = loaded.config.shown();
        if self.json {
            let object: Map<String, Value> = shown
                .into_iter()
                .map(|(key, value)| {
                    let entry = json!({ "value": value, "source": source(&key) });
                    (key, entry)
                })
                .collect();
            output::json(&Value::Object(object));
        } else {
            let rows = shown
                .into_iter()
                .map(|(key, value)| {
                    let source = source(&key).to_owned();
                    [key, value, source]
                })
                .collect();
            output::table(["knob", "value", "from"], rows);
        }
        Ok(())
    }
}
