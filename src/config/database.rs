//! Settings of the database: location, connections, startup and retention.

use std::path::PathBuf;

use anyhow::Context;
use clap::{ArgAction, Args};

use super::{Count, DatabaseUrl, Days, Given, Links, Millis, Seconds, password_file};

/// Data directory if none is named.
pub(super) const DATA_DIR: &str = "jeton-data";

/// Data directory of a node or a shim.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Files")]
pub struct DataDir {
    /// Directory of the embedded database and of the self-signed certificate
    #[arg(long, value_name = "DIR", env = "JETON_DATA_DIR", default_value = DATA_DIR)]
    pub data_dir: PathBuf,
}

/// Location of the database and limits of its connections. Used by nodes and by commands.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Database")]
pub struct Database {
    /// Whether a flag or a variable names the database.
    #[command(flatten)]
    pub given: Given,

    /// Postgres database, as `postgres://user@host/database?sslmode=…`; without it, the
    /// embedded database in the data directory is used
    #[arg(
        long,
        value_name = "URL",
        env = "JETON_DATABASE_URL",
        hide_env_values = true,
        hide_default_value = true
    )]
    pub database_url: Option<DatabaseUrl>,

    /// File that holds the password for the database, and nothing else; only its owner may have
    /// access to it
    #[arg(long, value_name = "FILE", env = "JETON_DATABASE_PASSWORD_FILE")]
    pub database_password_file: Option<PathBuf>,

    /// Maximum connections to the database; a node on Postgres opens one more for the change feed,
    /// and up to two for administrators
    #[arg(long, value_name = "N", env = "JETON_DATABASE_CONNECTIONS", default_value = "10")]
    pub database_connections: Count<2, 1_000>,

    /// Timeout for a free connection to the database, in milliseconds; on the embedded database,
    /// for its lock
    #[arg(long, value_name = "MS", env = "JETON_DATABASE_WAIT_MS", default_value = "2000")]
    pub database_wait_ms: Millis<1, 600_000>,

    /// Protection of the connection.
    #[command(flatten)]
    pub links: Links,

    /// Directory of the embedded database. Last, because its help heading applies to every argument
    /// after it.
    #[command(flatten)]
    pub directory: DataDir,
}

impl Database {
    /// URL of the database on Postgres, with the password of the file; `None` for the embedded
    /// database.
    ///
    /// # Errors
    /// If the password cannot be taken from the file, or if the URL is missing or holds one too.
    pub fn url(&self) -> anyhow::Result<Option<DatabaseUrl>> {
        let Some(file) = &self.database_password_file else {
            return Ok(self.database_url.clone());
        };
        let url = self.database_url.as_ref().context(
            "--database-password-file is of no use without --database-url: the embedded database \
             has no password",
        )?;
        let password = password_file::read(file)
            .with_context(|| format!("--database-password-file {}", file.display()))?;
        let url = url.with_password(&password).context(
            "the password of the database is given twice: remove it from --database-url, or leave \
             out --database-password-file",
        )?;
        Ok(Some(url))
    }
}

/// Settings of the database that only nodes use.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Database")]
pub struct Upkeep {
    /// Poll the change feed every 50 ms instead of using LISTEN; required behind a connection
    /// pooler in transaction mode, such as pgbouncer
    #[arg(long, value_name = "BOOL", env = "JETON_NO_LISTEN", default_value_t = false,
          num_args = 0..=1, default_missing_value = "true", action = ArgAction::Set)]
    pub no_listen: bool,

    /// Timeout for the database at startup, in seconds, after which the node exits
    #[arg(long, value_name = "S", env = "JETON_START_TIMEOUT_SECONDS", default_value = "30")]
    pub start_timeout_seconds: Seconds<1, 86_400>,

    /// Do not migrate the schema at startup; exit unless it is up to date
    #[arg(long, value_name = "BOOL", env = "JETON_NO_MIGRATE", default_value_t = false,
          num_args = 0..=1, default_missing_value = "true", action = ArgAction::Set)]
    pub no_migrate: bool,

    /// Interval at which a node writes down which secrets were used, in seconds; what it counted
    /// since is not known if it is killed
    #[arg(long, value_name = "S", env = "JETON_SECRET_USE_SECONDS", default_value = "10")]
    pub secret_use_seconds: Seconds<1, 3_600>,

    /// Retention of the audit trail, in days
    #[arg(long, value_name = "DAYS", env = "JETON_AUDIT_DAYS", default_value = "90")]
    pub audit_days: Days<1, 36_500>,
}
