//! How a configuration is put together, checked and shown.

use std::{collections::BTreeMap, fs, path::PathBuf};

use anyhow::Context;
use clap::{ArgMatches, Args, Command, FromArgMatches, parser::ValueSource};

use super::{Config, DatabaseUrl};

/// A configuration, and where each of its values came from.
#[derive(Debug)]
pub struct Loaded {
    /// What is in force.
    pub config: Config,
    /// For each knob that is not at its default: `flag`, `environment` or `file`.
    pub sources: BTreeMap<String, &'static str>,
}

impl Config {
    /// The environment and the defaults alone.
    fn from_environment() -> Self {
        let matches = Self::command().get_matches_from(["jeton"]);
        Self::from_arg_matches(&matches).unwrap_or_else(|error| error.exit())
    }

    fn command() -> Command {
        Self::augment_args(Command::new("jeton"))
    }

    /// Puts together flags, environment, file and defaults. Without `matches`, for commands that
    /// take few flags of their own, the environment is asked alone.
    pub fn load(matches: Option<&ArgMatches>, file: Option<&PathBuf>) -> anyhow::Result<Loaded> {
        let asked;
        let matches = if let Some(matches) = matches {
            matches
        } else {
            asked = Self::command().get_matches_from(["jeton"]);
            &asked
        };
        let given = Self::from_arg_matches(matches)?;
        let mut table =
            toml::Table::try_from(&given).context("the configuration is not a table")?;
        let mut sources = BTreeMap::new();
        let mut database_url = given.database_url;

        for argument in Self::command().get_arguments() {
            let id = argument.get_id().as_str();
            let source = match matches.value_source(id) {
                Some(ValueSource::CommandLine) => "flag",
                Some(ValueSource::EnvVariable) => "environment",
                _ => continue,
            };
            sources.insert(id.to_owned(), source);
        }
        if let Some(path) = file {
            let text = fs::read_to_string(path).with_context(|| {
                format!("the configuration file {} cannot be read", path.display())
            })?;
            // Read as a whole first: its errors name line, column and the keys allowed.
            let from_file: Self = toml::from_str(&text)
                .map_err(|error| without_its_line(&error, &text))
                .with_context(|| format!("in the configuration file {}", path.display()))?;
            for (key, value) in toml::from_str::<toml::Table>(&text)? {
                if sources.contains_key(&key) {
                    continue;
                }
                Self::check_range(&key, &value)
                    .with_context(|| format!("in the configuration file {}", path.display()))?;
                if key == "database_url" {
                    database_url.clone_from(&from_file.database_url);
                } else {
                    table.insert(key.clone(), value);
                }
                sources.insert(key, "file");
            }
        }
        let config = Self { database_url, ..table.try_into()? };
        config.check()?;
        Ok(Loaded { config, sources })
    }

    /// Refuses a number that its flag would refuse, in the same words.
    fn check_range(key: &str, value: &toml::Value) -> anyhow::Result<()> {
        let toml::Value::Integer(number) = value else { return Ok(()) };
        let flag = format!("--{}={number}", key.replace('_', "-"));
        if let Err(error) = Self::command().try_get_matches_from(["jeton", &flag]) {
            let told = error.to_string();
            let first = told.lines().next().unwrap_or_default();
            anyhow::bail!("{key} = {number}: {}", first.trim_start_matches("error: "));
        }
        Ok(())
    }

    /// What flags check by themselves and a file does not.
    fn check(&self) -> anyhow::Result<()> {
        anyhow::ensure!(
            self.tls_cert.is_some() == self.tls_key.is_some(),
            "tls_cert and tls_key belong together: give both or neither"
        );
        anyhow::ensure!(
            !(self.tls_self_signed && self.tls_cert.is_some()),
            "tls_self_signed makes a certificate of its own: leave tls_cert and tls_key out"
        );
        anyhow::ensure!(
            self.tls_client_ca.is_none() || self.tls_self_signed || self.tls_cert.is_some(),
            "tls_client_ca is for a node that serves TLS: give tls_cert and tls_key as well"
        );
        anyhow::ensure!(
            self.tls_client_ca.is_some() || !self.tls_client_required,
            "tls_client_required needs tls_client_ca, to know whose certificates are good"
        );
        let issuer_is_plain = self.issuer.as_ref().is_none_or(|issuer| {
            (issuer.starts_with("https://") || issuer.starts_with("http://"))
                && !issuer.ends_with('/')
                && !issuer.contains(['?', '#', ' ', '"', '\\'])
        });
        anyhow::ensure!(
            issuer_is_plain,
            "the issuer is a URL such as https://tokens.example.com, without query, fragment and \
             final slash (RFC 8414, section 2)"
        );
        Ok(())
    }

    /// Every knob with its value as text, the database URL without its password.
    #[must_use]
    pub fn shown(&self) -> Vec<(String, String)> {
        let table = toml::Table::try_from(self).unwrap_or_default();
        Self::command()
            .get_arguments()
            .map(|argument| {
                let id = argument.get_id().as_str();
                let value = match table.get(id) {
                    _ if id == "database_url" => {
                        self.database_url.as_ref().map(DatabaseUrl::redacted).unwrap_or_default()
                    }
                    Some(toml::Value::String(text)) => text.clone(),
                    Some(value) => value.to_string(),
                    None => String::new(),
                };
                (id.to_owned(), value)
            })
            .collect()
    }
}

/// Where a file is wrong, and why. The library would quote the whole line, and the password of the
/// database may stand there.
fn without_its_line(error: &toml::de::Error, text: &str) -> anyhow::Error {
    let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
    let line = before.matches('\n').count() + 1;
    let column = before.chars().rev().take_while(|c| *c != '\n').count() + 1;
    anyhow::anyhow!("line {line}, column {column}: {}", error.message())
}

impl Default for Config {
    fn default() -> Self {
        Self::from_environment()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(arguments: &[&str], file: &str) -> anyhow::Result<Loaded> {
        let path = tempfile::NamedTempFile::new().unwrap().into_temp_path();
        fs::write(&path, file).unwrap();
        let matches = Config::command().get_matches_from([&["jeton"], arguments].concat());
        Config::load(Some(&matches), Some(&path.to_path_buf()))
    }

    #[test]
    fn a_flag_wins_over_the_file_and_the_file_over_the_default() {
        let loaded = load(
            &["--http-addr", "127.0.0.1:1"],
            "http_addr = '127.0.0.1:2'\ngrpc_addr = '127.0.0.1:3'\nhash_queue = 9\n\
             database_url = 'postgres://u:p@h/d'",
        )
        .unwrap();
        assert_eq!(loaded.config.http_addr.port(), 1);
        assert_eq!(loaded.config.grpc_addr.port(), 3);
        assert_eq!(loaded.config.hash_queue, 9);
        assert_eq!(loaded.config.max_connections, 1_024);
        assert_eq!(loaded.config.database_url.unwrap().expose(), "postgres://u:p@h/d");
        assert_eq!(loaded.sources["http_addr"], "flag");
        assert_eq!(loaded.sources["grpc_addr"], "file");
    }

    #[test]
    fn an_error_in_the_file_does_not_tell_the_password() {
        let url = "database_url = 'postgres://u:canary@h/d'";
        let rows = [
            (format!("{url} hash_queue = 9"), "line 1, column 42"),
            (format!("log = 'info'\n{url}'"), "line 2, column 41"),
            (format!("{url}\n{url}"), "line 2, column 1"),
            ("\ndatabase_url = ['postgres://u:canary@h/d']".to_owned(), "line 2, column 16"),
        ];
        for (file, place) in rows {
            let error = load(&[], &file).unwrap_err();
            let told = format!("{error:#} {error:?}");
            assert!(told.contains(place) && !told.contains("canary"), "{told}");
        }
    }

    #[test]
    fn a_file_with_a_key_that_does_not_exist_is_refused() {
        let error = format!("{:#}", load(&[], "grpc_adr = '127.0.0.1:3'").unwrap_err());
        assert!(error.contains("grpc_adr") && error.contains("grpc_addr"), "{error}");
        assert!(error.contains("line 1"), "{error}");
        assert!(load(&[], "hash_queue = 'many'").is_err());
        let error = format!("{:#}", load(&[], "hash_queue = 0").unwrap_err());
        assert!(error.contains("hash_queue = 0") && error.contains("1..=10000"), "{error}");
        assert!(load(&[], "issuer = 'https://a.example/'").is_err());
        assert!(load(&[], "tls_cert = 'a.pem'").is_err());
        assert!(load(&[], "tls_client_ca = 'a.pem'").is_err());
        assert!(load(&["--tls-self-signed"], "tls_client_required = true").is_err());
    }
}
