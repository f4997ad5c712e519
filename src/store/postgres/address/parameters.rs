//! The parameters of an address, and their values from the URL or the environment.

use std::collections::BTreeMap;

use super::{Environment, error::AddressError, session_options};

/// A parameter: its name in libpq, other names that sqlx accepted for it, and its environment
/// variable. An empty string means that there is none.
type Parameter = (&'static str, [&'static str; 2], &'static str);

const PARAMETERS: [Parameter; 14] = [
    ("host", ["", ""], "PGHOST"),
    ("hostaddr", ["", ""], "PGHOSTADDR"),
    ("port", ["", ""], "PGPORT"),
    ("user", ["", ""], "PGUSER"),
    ("password", ["", ""], "PGPASSWORD"),
    ("dbname", ["", ""], "PGDATABASE"),
    ("sslmode", ["ssl-mode", ""], "PGSSLMODE"),
    ("sslrootcert", ["ssl-root-cert", "ssl-ca"], "PGSSLROOTCERT"),
    ("sslcert", ["ssl-cert", ""], "PGSSLCERT"),
    ("sslkey", ["ssl-key", ""], "PGSSLKEY"),
    ("application_name", ["", ""], "PGAPPNAME"),
    ("target_session_attrs", ["", ""], "PGTARGETSESSIONATTRS"),
    ("channel_binding", ["", ""], "PGCHANNELBINDING"),
    ("statement-cache-capacity", ["", ""], ""),
];

/// Accepted names, for messages: those above and `options`, which is stored separately because its
/// settings add up.
pub(super) const ACCEPTED: &str = "host, hostaddr, port, user, password, dbname, sslmode, \
     sslrootcert, sslcert, sslkey, application_name, target_session_attrs, channel_binding, \
     options and statement-cache-capacity";

/// Common libpq parameters that Jeton does not support, with advice.
const UNSUPPORTED: [(&str, &str); 14] = [
    ("connect_timeout", "remove it; --database-wait-ms bounds every wait for a connection"),
    ("gssencmode", "remove it; sslmode protects the connection, with TLS"),
    ("load_balance_hosts", "remove it; hosts are tried in the order in which they are given"),
    ("passfile", "name the file in the environment variable PGPASSFILE, or use ~/.pgpass"),
    ("require_auth", "remove it, and use sslmode=verify-full to authenticate the server"),
    ("requirepeer", "remove it, and restrict access to the directory of the socket"),
    ("service", "write out host, port, dbname and user"),
    ("ssl", "use sslmode, or ssl=true for sslmode=require"),
    ("ssl_min_protocol_version", "remove it; only TLS 1.2 and 1.3 are supported"),
    ("sslcrl", "remove it; certificate revocation lists are not supported"),
    ("sslcrldir", "remove it; certificate revocation lists are not supported"),
    ("sslnegotiation", "remove it; TLS is negotiated in the way that every server supports"),
    ("sslpassword", "remove it, and give sslkey a key that is not encrypted"),
    ("client_encoding", "remove it; it is always UTF8"),
];

/// Environment variables that require some protection of the connection that Jeton does not
/// support, with the values that require nothing. Other variables are ignored, because they may be
/// there for psql.
const DEMANDS: [(&str, &[&str], &str); 8] = [
    ("PGGSSENCMODE", &["disable", "allow", "prefer"], "gssencmode"),
    ("PGREQUIREAUTH", &[], "require_auth"),
    ("PGREQUIREPEER", &[], "requirepeer"),
    ("PGSERVICE", &[], "service"),
    ("PGSSLCRL", &[], "sslcrl"),
    ("PGSSLCRLDIR", &[], "sslcrldir"),
    ("PGSSLMINPROTOCOLVERSION", &["TLSv1", "TLSv1.1", "TLSv1.2"], "ssl_min_protocol_version"),
    ("PGSSLNEGOTIATION", &["postgres"], "sslnegotiation"),
];

/// A value, with the name under which it was given.
pub(super) struct Value {
    pub(super) name: &'static str,
    pub(super) text: String,
}

/// The parameters that were given.
#[derive(Default)]
pub(super) struct Parameters {
    values: BTreeMap<&'static str, Value>,
    /// Session settings, from `options` in the URL.
    pub(super) settings: Vec<(String, String)>,
}

impl Parameters {
    /// Value of a parameter; `None` if it is missing or empty, as in libpq.
    pub(super) fn get(&self, name: &str) -> Option<&Value> {
        self.values.get(name).filter(|value| !value.text.is_empty())
    }

    /// Stores a parameter of the URL. If a name is repeated, the last value counts, as in libpq.
    ///
    /// # Errors
    /// If there is no such parameter, or if Jeton does not support it.
    pub(super) fn set(&mut self, name: &str, text: String) -> Result<(), AddressError> {
        if name == "options" {
            self.settings.extend(session_options::read(&text, "options")?);
        } else if let Some(key) = name.strip_prefix("options[").and_then(|k| k.strip_suffix(']')) {
            self.settings.push(session_options::setting(key, &text, "options")?);
        } else if (name, &*text) == ("ssl", "true") {
            // libpq accepts `ssl=true` from other drivers, and no other value.
            self.put("sslmode", "sslmode", "require".to_owned());
        } else if let Some(name) = canonical(name) {
            self.put(name, name, text);
        } else if let Some(refused) = unsupported(name, None) {
            return Err(refused);
        } else {
            return Err(AddressError::Unknown { name: name.to_owned() });
        }
        Ok(())
    }

    /// Fills in from the environment the parameters that the URL leaves out.
    ///
    /// # Errors
    /// If a variable requires something that Jeton does not support.
    pub(super) fn complete(&mut self, environment: &Environment<'_>) -> Result<(), AddressError> {
        // The address of one host must not be used for another.
        let has_host = self.values.contains_key("host") || self.values.contains_key("hostaddr");
        for (name, _, variable) in PARAMETERS {
            let is_closed =
                self.values.contains_key(name) || (has_host && matches!(name, "host" | "hostaddr"));
            if let Some(text) = environment.variable(variable)
                && !is_closed
            {
                self.put(name, variable, text);
            }
        }
        // Only checked here: the driver sends these settings itself, before those of the URL.
        if let Some(text) = environment.variable("PGOPTIONS") {
            session_options::read(&text, "PGOPTIONS")?;
        }
        for (variable, harmless, name) in DEMANDS {
            if let Some(text) = environment.variable(variable)
                && !harmless.contains(&&*text)
                && let Some(refused) = unsupported(name, Some(variable))
            {
                return Err(refused);
            }
        }
        Ok(())
    }

    fn put(&mut self, parameter: &'static str, name: &'static str, text: String) {
        self.values.insert(parameter, Value { name, text });
    }
}

/// The libpq name of a supported parameter.
fn canonical(name: &str) -> Option<&'static str> {
    let mut rows = PARAMETERS.iter();
    rows.find(|row| row.0 == name || (!name.is_empty() && row.1.contains(&name))).map(|row| row.0)
}

/// Returns the error for an unsupported parameter if there is advice for it. The error names
/// `variable` if the value came from that environment variable.
fn unsupported(name: &str, variable: Option<&'static str>) -> Option<AddressError> {
    let (name, advice) = UNSUPPORTED.iter().find(|row| row.0 == name)?;
    Some(AddressError::Unsupported { name: variable.unwrap_or(name), advice })
}
