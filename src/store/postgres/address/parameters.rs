//! The parameters of an address: which there are, and what was given for them, in the URL or in
//! the environment.

use std::collections::BTreeMap;

use super::{Environment, error::AddressError, session_options};

/// A parameter: its name in libpq, other names that sqlx took for it, and the environment variable
/// that stands for it. An empty string is none.
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

/// For messages: the names above, and `options`, which is kept apart because it adds up.
pub(super) const ACCEPTED: &str = "host, hostaddr, port, user, password, dbname, sslmode, \
     sslrootcert, sslcert, sslkey, application_name, target_session_attrs, channel_binding, \
     options and statement-cache-capacity";

/// Parameters of libpq that somebody may well have in a URL, and what to do without them.
const UNSUPPORTED: [(&str, &str); 14] = [
    ("connect_timeout", "remove it; --database-wait-ms bounds every wait for a connection"),
    ("gssencmode", "remove it; TLS is what protects the link, by sslmode"),
    ("load_balance_hosts", "remove it; hosts are tried in the order in which they are given"),
    ("passfile", "name the file in the environment variable PGPASSFILE, or use ~/.pgpass"),
    ("require_auth", "remove it, and use sslmode=verify-full so that no other server is asked"),
    ("requirepeer", "remove it, and keep others out of the directory of the socket"),
    ("service", "write out host, port, dbname and user"),
    ("ssl", "use sslmode, or ssl=true for sslmode=require"),
    ("ssl_min_protocol_version", "remove it; TLS 1.2 and 1.3 are spoken and nothing older"),
    ("sslcrl", "remove it; lists of revoked certificates are not looked at"),
    ("sslcrldir", "remove it; lists of revoked certificates are not looked at"),
    ("sslnegotiation", "remove it; TLS is asked for in the way that every server understands"),
    ("sslpassword", "remove it, and give sslkey a key that is not encrypted"),
    ("client_encoding", "remove it; it is always UTF8"),
];

/// Environment variables that demand something of the link which Jeton could not keep, with the
/// values that demand nothing. Those that demand nothing at all are left alone: they may be there
/// for psql beside Jeton.
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

/// A value, and under which name it was given.
pub(super) struct Value {
    pub(super) name: &'static str,
    pub(super) text: String,
}

/// What was given.
#[derive(Default)]
pub(super) struct Parameters {
    values: BTreeMap<&'static str, Value>,
    /// Settings of the session, from `options` of the URL.
    pub(super) settings: Vec<(String, String)>,
}

impl Parameters {
    /// The value of a parameter. An empty one is none, as in libpq.
    pub(super) fn get(&self, name: &str) -> Option<&Value> {
        self.values.get(name).filter(|value| !value.text.is_empty())
    }

    /// Takes a parameter of the URL. The last one of a name counts, as in libpq.
    ///
    /// # Errors
    /// If there is no such parameter, or if it is one that Jeton does not support.
    pub(super) fn set(&mut self, name: &str, text: String) -> Result<(), AddressError> {
        if name == "options" {
            self.settings.extend(session_options::read(&text, "options")?);
        } else if let Some(key) = name.strip_prefix("options[").and_then(|k| k.strip_suffix(']')) {
            self.settings.push(session_options::setting(key, &text, "options")?);
        } else if (name, &*text) == ("ssl", "true") {
            // libpq takes this word of other drivers, and no other.
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

    /// Takes from the environment what the URL left open.
    ///
    /// # Errors
    /// If a variable demands what Jeton cannot keep.
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
        // The driver sends these by itself, before those of the URL.
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

/// The name in libpq of a parameter that is supported.
fn canonical(name: &str) -> Option<&'static str> {
    let mut rows = PARAMETERS.iter();
    rows.find(|row| row.0 == name || (!name.is_empty() && row.1.contains(&name))).map(|row| row.0)
}

/// Why a parameter is not supported, if it is one to say more of, under the name of the variable
/// that stands for it if it came from there.
fn unsupported(name: &str, variable: Option<&'static str>) -> Option<AddressError> {
    let (name, advice) = UNSUPPORTED.iter().find(|row| row.0 == name)?;
    Some(AddressError::Unsupported { name: variable.unwrap_or(name), advice })
}
