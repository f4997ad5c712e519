//! The servers of an address, in their order.

use std::{net::IpAddr, path::Path};

use super::{
    error::AddressError,
    parameters::{Parameters, Value},
};
use crate::domain::is_this_machine;

const DEFAULT_PORT: u16 = 5432;

/// Default socket directories: that of Debian, that of Homebrew, and that of Postgres itself.
const SOCKET_DIRECTORIES: [&str; 3] = ["/var/run/postgresql", "/private/tmp", "/tmp"];

/// One server.
pub(super) struct Host {
    /// Target of the connection: a name, an address, or the directory of a socket.
    pub(super) connect: String,
    /// Host name, if `connect` is an address from `hostaddr` that was given beside `host`.
    pub(super) name: Option<String>,
    /// Port, which is also part of the name of a socket.
    pub(super) port: u16,
}

impl Host {
    /// Whether the server is reached through a socket in the file system.
    pub(super) fn is_socket(&self) -> bool {
        self.connect.starts_with('/')
    }

    /// Whether the connection stays on this machine.
    pub(super) fn is_local(&self) -> bool {
        self.is_socket() || is_this_machine(&self.connect)
    }

    /// Names of the server that a line of the password file may use.
    pub(super) fn names(&self) -> Vec<&str> {
        let mut names = vec![self.name.as_deref().unwrap_or(&self.connect)];
        if SOCKET_DIRECTORIES.contains(&&*self.connect) {
            names.push("localhost");
        }
        names
    }
}

/// Lists the servers that `host`, `hostaddr` and `port` specify.
///
/// # Errors
/// If one of them is malformed, or if they specify different numbers of servers.
pub(super) fn list(given: &Parameters) -> Result<Vec<Host>, AddressError> {
    let (hosts, addresses) = (items(given.get("host")), items(given.get("hostaddr")));
    let ports = items(given.get("port"));
    let count = addresses.len().max(hosts.len()).max(1);
    for (parameter, items, rule) in [
        ("hostaddr", &addresses, "must list as many addresses as `host` lists hosts"),
        ("host", &hosts, "must list as many hosts as `hostaddr` lists addresses"),
        ("port", &ports, "must be one port for all hosts, or list one for each"),
    ] {
        let is_one_for_all = parameter == "port" && items.len() == 1;
        if !items.is_empty() && items.len() != count && !is_one_for_all {
            return Err(wrong(given, parameter, rule));
        }
    }
    let mut servers = Vec::with_capacity(count);
    for index in 0..count {
        let port = match *ports.get(index).or(ports.first()).unwrap_or(&"") {
            "" => DEFAULT_PORT,
            port => read_port(port).ok_or_else(|| wrong(given, "port", PORT))?,
        };
        let item = |items: &[&str]| items.get(index).map_or("", |item| *item).to_owned();
        let (name, address) = (item(&hosts), item(&addresses));
        if !is_host(&name) {
            return Err(wrong(given, "host", HOST));
        }
        if !address.is_empty() && !is_address(&address) {
            return Err(wrong(given, "hostaddr", HOSTADDR));
        }
        let named = Some(name.clone()).filter(|name| !name.is_empty());
        let (connect, name) = match (&*address, named) {
            ("", None) => (default_host(port), None),
            ("", Some(name)) => (name, None),
            (_, name) => (address, name),
        };
        servers.push(Host { connect, name, port });
    }
    Ok(servers)
}

const PORT: &str = "must be a number from 1 to 65535 for each host; an IPv6 address before it has \
                    brackets, as in [::1]:5432";
const HOST: &str = "must be a name, an address, or the directory of a socket, which begins with /; \
                    as a parameter, an IPv6 address has no brackets";
const HOSTADDR: &str = "must be an IPv4 or IPv6 address for each host, without brackets";

fn wrong(given: &Parameters, parameter: &'static str, rule: &'static str) -> AddressError {
    AddressError::Value { name: given.get(parameter).map_or(parameter, |value| value.name), rule }
}

fn items(value: Option<&Value>) -> Vec<&str> {
    value.map(|value| value.text.split(',').collect()).unwrap_or_default()
}

fn read_port(text: &str) -> Option<u16> {
    text.parse().ok().filter(|port| *port > 0 && !text.starts_with('+'))
}

/// Whether a host can be connected to. The name of an abstract socket, for example, cannot.
fn is_host(text: &str) -> bool {
    let is_odd = |c: char| c.is_whitespace() || c.is_control() || "[]@/\\".contains(c);
    text.starts_with('/') || !text.contains(is_odd)
}

/// Whether a text is an IP address. A link-local address may name its interface: `fe80::1%eth0`.
fn is_address(text: &str) -> bool {
    let (address, zone) = text.split_once('%').map_or((text, None), |(a, zone)| (a, Some(zone)));
    match address.parse() {
        Ok(IpAddr::V4(_)) => zone.is_none(),
        Ok(IpAddr::V6(_)) => zone.is_none_or(|zone| !zone.is_empty() && is_host(zone)),
        Err(_) => false,
    }
}

/// Directory with the socket of a server on this port, otherwise `localhost`.
fn default_host(port: u16) -> String {
    let socket = format!(".s.PGSQL.{port}");
    let mut directories = SOCKET_DIRECTORIES.iter();
    let found = directories.find(|directory| Path::new(directory).join(&socket).exists());
    (*found.unwrap_or(&"localhost")).to_owned()
}
