//! Converts a database URL to the environment variables of libpq, for the programs of Postgres. The
//! URL is not passed as an argument, because every user of the machine can read arguments and the
//! URL may hold a password.

use crate::form_encoding::decode_any_text;

/// Parameters of a URL and the environment variable of libpq for each.
const VARIABLES: [(&str, &str); 20] = [
    ("host", "PGHOST"),
    ("hostaddr", "PGHOSTADDR"),
    ("port", "PGPORT"),
    ("user", "PGUSER"),
    ("dbname", "PGDATABASE"),
    ("password", "PGPASSWORD"),
    ("passfile", "PGPASSFILE"),
    ("sslmode", "PGSSLMODE"),
    ("ssl-mode", "PGSSLMODE"),
    ("sslrootcert", "PGSSLROOTCERT"),
    ("ssl-root-cert", "PGSSLROOTCERT"),
    ("ssl-ca", "PGSSLROOTCERT"),
    ("sslcert", "PGSSLCERT"),
    ("ssl-cert", "PGSSLCERT"),
    ("sslkey", "PGSSLKEY"),
    ("ssl-key", "PGSSLKEY"),
    ("ssl_min_protocol_version", "PGSSLMINPROTOCOLVERSION"),
    ("channel_binding", "PGCHANNELBINDING"),
    ("target_session_attrs", "PGTARGETSESSIONATTRS"),
    ("options", "PGOPTIONS"),
];

/// Environment with which a program of Postgres connects to the database of `url`. Parameters that
/// the URL omits come from the inherited environment and `~/.pgpass`, as they do for a node.
pub(in crate::cli) fn environment(url: &str) -> Vec<(&'static str, String)> {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (authority, database) = rest.split_once('/').unwrap_or((rest, ""));
    let (user, hosts) = authority.rsplit_once('@').unwrap_or(("", authority));
    let (user, password) = user.split_once(':').unwrap_or((user, ""));
    let (hosts, ports): (Vec<_>, Vec<_>) = hosts.split(',').map(host_and_port).unzip();
    let ports =
        if ports.iter().all(|port| port.is_empty()) { String::new() } else { ports.join(",") };
    let mut found = vec![
        ("PGHOST", percent_decoded(&hosts.join(","))),
        ("PGPORT", ports),
        ("PGUSER", percent_decoded(user)),
        ("PGPASSWORD", percent_decoded(password)),
        ("PGDATABASE", percent_decoded(database)),
    ];
    for parameter in query.split('&') {
        let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
        let name = decode_any_text(name.as_bytes()).unwrap_or_default();
        let value = decode_any_text(value.as_bytes()).unwrap_or_default();
        if let Some(setting) = name.strip_prefix("options[").and_then(|name| name.strip_suffix(']'))
        {
            add_option(&mut found, &format!("-c {setting}={}", escaped(&value)));
        } else if name == "options" {
            add_option(&mut found, &value);
        } else if let Some((_, variable)) = VARIABLES.iter().find(|(known, _)| *known == name) {
            found.retain(|(other, _)| other != variable);
            found.push((variable, value));
        }
    }
    found.retain(|(_, value)| !value.is_empty());
    found
}

/// Splits `host:port`. A host that contains colons must be in brackets.
fn host_and_port(text: &str) -> (&str, &str) {
    if let Some(rest) = text.strip_prefix('[')
        && let Some((host, port)) = rest.split_once(']')
    {
        return (host, port.strip_prefix(':').unwrap_or(port));
    }
    text.rsplit_once(':').unwrap_or((text, ""))
}

/// Percent-decodes a part before the query of a URL, where a plus sign does not stand for a space.
fn percent_decoded(text: &str) -> String {
    decode_any_text(text.replace('+', "%2B").as_bytes()).unwrap_or_else(|_| text.to_owned())
}

fn add_option(found: &mut Vec<(&'static str, String)>, option: &str) {
    match found.iter_mut().find(|(name, _)| *name == "PGOPTIONS") {
        Some((_, options)) => *options = format!("{options} {option}"),
        None => found.push(("PGOPTIONS", option.to_owned())),
    }
}

fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace(' ', "\\ ")
}

#[cfg(test)]
mod tests {
    use super::environment;

    #[test]
    fn a_url_is_told_in_variables() {
        let rows: [(&str, &[(&str, &str)]); 8] = [
            (
                "postgres://jeton:p%40ss+w@db.test:5433/a%20b?sslmode=verify-full&sslrootcert=/ca",
                &[
                    ("PGDATABASE", "a b"),
                    ("PGHOST", "db.test"),
                    ("PGPASSWORD", "p@ss+w"),
                    ("PGPORT", "5433"),
                    ("PGSSLMODE", "verify-full"),
                    ("PGSSLROOTCERT", "/ca"),
                    ("PGUSER", "jeton"),
                ],
            ),
            (
                "postgres://postgres@localhost/x?host=/run/pg",
                &[("PGDATABASE", "x"), ("PGHOST", "/run/pg"), ("PGUSER", "postgres")],
            ),
            ("postgres://%2Frun%2Fpg/x", &[("PGDATABASE", "x"), ("PGHOST", "/run/pg")]),
            ("postgres://[::1]:1/x", &[("PGDATABASE", "x"), ("PGHOST", "::1"), ("PGPORT", "1")]),
            (
                "postgres://u@a:1,[::1],c:3/x?target_session_attrs=read-write",
                &[
                    ("PGDATABASE", "x"),
                    ("PGHOST", "a,::1,c"),
                    ("PGPORT", "1,,3"),
                    ("PGTARGETSESSIONATTRS", "read-write"),
                    ("PGUSER", "u"),
                ],
            ),
            (
                "postgres://h/x?options[search_path]=a b&options=-c%20geqo%3Doff",
                &[
                    ("PGDATABASE", "x"),
                    ("PGHOST", "h"),
                    ("PGOPTIONS", "-c search_path=a\\ b -c geqo=off"),
                ],
            ),
            (
                "postgres:///x?user=u&password=a+b",
                &[("PGDATABASE", "x"), ("PGPASSWORD", "a b"), ("PGUSER", "u")],
            ),
            ("postgres://h?statement-cache-capacity=1&unknown=2", &[("PGHOST", "h")]),
        ];
        for (url, expected) in rows {
            let mut found = environment(url);
            found.sort();
            let found: Vec<_> = found.iter().map(|(name, value)| (*name, &**value)).collect();
            assert_eq!(found, expected, "{url}");
        }
    }
}
