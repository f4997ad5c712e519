//! The address of the database, a URL in the syntax of libpq.
//!
//! The parser of the driver supports one host, ignores unknown parameters, and verifies the server
//! only if it is asked in one particular way. Here every parameter is honoured or refused by name.
//! docs/operations.md lists them.

mod error;
mod hosts;
mod parameters;
mod password_file;
mod session_options;
#[cfg(test)]
mod tests;
mod tls;
mod url;

use std::{fmt, path::PathBuf};

use sqlx::postgres::PgConnectOptions;

pub use self::error::AddressError;
use self::{
    hosts::Host,
    parameters::Parameters,
    password_file::{Entry, PasswordFiles},
    tls::Tls,
};

/// Default `application_name` of our sessions.
const APPLICATION_NAME: &str = "jeton";

/// One or more servers, one of which is the primary at a time. User, database, settings and TLS are
/// the same for all of them.
#[derive(Clone)]
pub struct Address {
    hosts: Vec<PgConnectOptions>,
    is_protected: bool,
}

impl Address {
    /// Parses a URL. Parts that it leaves out come from the environment: from variables such as
    /// `PGHOST`, and from the password file.
    ///
    /// # Errors
    /// If the URL cannot be honoured exactly. The message says how to correct it, and never repeats
    /// text that could be a password.
    pub fn parse(url: &str) -> Result<Self, AddressError> {
        let variable = |name: &str| std::env::var(name).ok();
        Self::read(url, &Environment { variable: &variable, home: std::env::home_dir() })
    }

    /// Connection options of each server, in the order in which the servers are tried.
    #[must_use]
    pub fn hosts(&self) -> &[PgConnectOptions] {
        &self.hosts
    }

    /// Whether each connection stays on this machine or verifies the server by TLS.
    #[must_use]
    pub const fn is_protected(&self) -> bool {
        self.is_protected
    }

    fn read(url: &str, environment: &Environment<'_>) -> Result<Self, AddressError> {
        let mut given = url::read(url)?;
        given.complete(environment)?;
        let hosts = hosts::list(&given)?;
        let tls = Tls::read(&given, &hosts, environment)?;
        check_target(&given)?;
        check_channel_binding(&given)?;
        let options = session(&given)?;
        let has_password = given.get("password").is_some();
        let files = (!has_password).then(|| PasswordFiles::read(environment));
        let connect = |host: &Host| {
            let options = options.clone().host(&host.connect).port(host.port);
            let user = options.get_username();
            let entry = Entry {
                hosts: &host.names(),
                port: host.port,
                database: options.get_database().unwrap_or(user),
                user,
            };
            let password = files.as_ref().and_then(|files| files.find(&entry));
            let options = tls.apply(options, host);
            password.into_iter().fold(options, |options, password| options.password(&password))
        };
        let is_protected = tls.verifies_server() || hosts.iter().all(Host::is_local);
        Ok(Self { hosts: hosts.iter().map(connect).collect(), is_protected })
    }
}

/// Prints no part of the URL, because a password that was not encoded may have become any part of
/// it.
impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Address").field("hosts", &self.hosts.len()).finish_non_exhaustive()
    }
}

/// Environment that completes an address.
struct Environment<'a> {
    variable: &'a dyn Fn(&str) -> Option<String>,
    home: Option<PathBuf>,
}

impl Environment<'_> {
    /// Value of a variable; `None` if it is unset or empty.
    fn variable(&self, name: &str) -> Option<String> {
        (self.variable)(name).filter(|value| !value.is_empty())
    }
}

/// Connection options that are the same for all servers, except those of TLS. The driver adds
/// defaults from the environment and the name of the system user.
fn session(given: &Parameters) -> Result<PgConnectOptions, AddressError> {
    let text = |name: &str| given.get(name).map(|value| &*value.text);
    let mut options = PgConnectOptions::new_without_pgpass()
        .application_name(text("application_name").unwrap_or(APPLICATION_NAME));
    if let Some(user) = text("user") {
        options = options.username(user);
    }
    if let Some(password) = text("password") {
        options = options.password(password);
    }
    if let Some(database) = text("dbname") {
        options = options.database(database);
    }
    if let Some(value) = given.get("statement-cache-capacity") {
        let rule = "must be a number of statements, such as 100";
        let wrong = |_| AddressError::Value { name: value.name, rule };
        options = options.statement_cache_capacity(value.text.parse().map_err(wrong)?);
    }
    if !given.settings.is_empty() {
        options = options.options(given.settings.iter().map(|(name, value)| (name, value)));
    }
    Ok(options)
}

/// Checks `target_session_attrs`. Sessions are always opened on the primary, so values that ask for
/// it are accepted. Values that ask for a standby are refused, because a standby could bring a
/// revoked token back.
fn check_target(given: &Parameters) -> Result<(), AddressError> {
    match given.get("target_session_attrs") {
        Some(value) if !["any", "read-write", "primary"].contains(&&*value.text) => {
            let rule = "must be read-write, primary or any: Jeton needs the primary, and a standby \
                        could bring a revoked token back";
            Err(AddressError::Value { name: value.name, rule })
        }
        _ => Ok(()),
    }
}

/// Checks `channel_binding`. The driver does not support it, so only `disable` and `prefer`, the
/// default of libpq, are accepted.
fn check_channel_binding(given: &Parameters) -> Result<(), AddressError> {
    match given.get("channel_binding") {
        Some(value) if !["prefer", "disable"].contains(&&*value.text) => {
            let advice = "remove it or use prefer; sslmode=verify-full prevents an attack from \
                          the middle of the connection";
            Err(AddressError::Unsupported { name: value.name, advice })
        }
        _ => Ok(()),
    }
}
