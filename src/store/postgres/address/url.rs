//! Parser for the text of an address, compatible with libpq.
//!
//! `postgres://[user[:password]@][host[:port][,…]][/dbname][?name=value[&…]]`. A general URL parser
//! supports only one host, and keeps the brackets of an IPv6 address in the host name.

use super::{error::AddressError, parameters::Parameters};

/// Parses a URL into parameters. Each part is a parameter: the parts before the question mark can
/// also be given after it, where they take precedence.
///
/// # Errors
/// If the text is not such a URL, or contains a parameter that is not supported.
pub(super) fn read(url: &str) -> Result<Parameters, AddressError> {
    let rest = ["postgres://", "postgresql://"].iter().find_map(|scheme| url.strip_prefix(scheme));
    let rest = rest.ok_or(AddressError::Shape)?;
    let (head, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (authority, database) = head.split_once('/').unwrap_or((head, ""));
    // A bare `@`, or any `@` after a bare `/`. libpq would connect to a piece of the password as a
    // host.
    if database.contains('@') || authority.matches('@').count() > 1 {
        return Err(AddressError::NotEncoded);
    }
    let (user, hosts) = match authority.split_once('@') {
        Some((user, hosts)) => (Some(user), hosts),
        None => (None, authority),
    };
    let mut given = Parameters::default();
    if let Some(user) = user {
        let (user, password) = user.split_once(':').unwrap_or((user, ""));
        put(&mut given, "user", user)?;
        put(&mut given, "password", password)?;
    }
    let (names, ports) = hosts_and_ports(hosts)?;
    let is_number = |port: &str| port.bytes().all(|byte| byte.is_ascii_digit());
    if user.is_none() && query.contains('@') && !ports.split(',').all(is_number) {
        // The apparent port is the start of a password, up to a bare `?` in it.
        return Err(AddressError::NotEncoded);
    }
    put(&mut given, "host", &names)?;
    put(&mut given, "port", &ports)?;
    put(&mut given, "dbname", database)?;
    parameters(&mut given, query)?;
    Ok(given)
}

fn put(given: &mut Parameters, part: &'static str, text: &str) -> Result<(), AddressError> {
    if text.is_empty() { Ok(()) } else { given.set(part, decode(text, part)?) }
}

/// Splits hosts and ports into two comma-separated lists, the form that the parameters have. A
/// missing port leaves an empty item.
fn hosts_and_ports(text: &str) -> Result<(String, String), AddressError> {
    let (mut names, mut ports) = (Vec::new(), Vec::new());
    for host in text.split(',') {
        let (name, port) = match host.strip_prefix('[') {
            Some(address) => {
                let (address, port) = address.split_once(']').ok_or(BRACKETS)?;
                let is_port = port.is_empty() || port.starts_with(':');
                if address.is_empty() || !is_port {
                    return Err(BRACKETS);
                }
                (address, port.get(1..).unwrap_or_default())
            }
            None => host.split_once(':').unwrap_or((host, "")),
        };
        names.push(name);
        ports.push(port);
    }
    Ok((names.join(","), ports.join(",")))
}

const BRACKETS: AddressError = AddressError::Value {
    name: "host",
    rule: "must have an IPv6 address in brackets, as in postgres://user@[::1]:5432/database",
};

fn parameters(given: &mut Parameters, query: &str) -> Result<(), AddressError> {
    // A piece of a password that was not encoded may look like the name of a parameter. Pieces can
    // be anywhere if the query has an `@`, and after the parameter `password`.
    let mut may_be_named = !query.contains('@');
    for parameter in query.split('&').filter(|parameter| !parameter.is_empty()) {
        let Some((name, value)) = parameter.split_once('=') else {
            let is_broken = query.contains('@');
            return Err(if is_broken { AddressError::NotEncoded } else { AddressError::NoValue });
        };
        let name = decode(name, "the name of a parameter")?;
        let part = if name.contains("password") { "password" } else { "a parameter" };
        match given.set(&name, decode(value, part)?) {
            Err(AddressError::Unknown { name }) if !(may_be_named && is_plain(&name)) => {
                return Err(AddressError::UnknownAndHidden);
            }
            set => set?,
        }
        may_be_named &= !name.to_ascii_lowercase().contains("password");
    }
    Ok(())
}

/// Whether a name looks like that of a parameter.
fn is_plain(name: &str) -> bool {
    let is_ordinary = |byte: u8| byte.is_ascii_alphanumeric() || b"_-".contains(&byte);
    name.len() <= 32 && name.bytes().all(is_ordinary)
}

/// Percent-decodes a text. A plus sign is literal, unlike in forms.
fn decode(text: &str, part: &'static str) -> Result<String, AddressError> {
    const WRONG: fn(&'static str) -> AddressError = |part| AddressError::Escape { part };
    let mut decoded = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        if byte != b'%' {
            decoded.push(byte);
            continue;
        }
        let mut digit = || bytes.next().and_then(|digit| char::from(digit).to_digit(16));
        let (high, low) = (digit(), digit());
        match high.zip(low).and_then(|(high, low)| u8::try_from(high * 16 + low).ok()) {
            Some(byte @ 1..) => decoded.push(byte),
            _ => return Err(WRONG(part)),
        }
    }
    String::from_utf8(decoded).map_err(|_| WRONG(part))
}
