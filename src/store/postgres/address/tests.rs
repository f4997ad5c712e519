//! Tests of address parsing: accepted addresses, and those refused by name.

mod accepted;
mod files;
mod refused;

use std::path::Path;

use super::{Address, AddressError, Environment};

/// Environment variables with their values.
type Variables<'a> = &'a [(&'a str, &'a str)];

/// Parses a URL in an environment of these variables and this home directory.
fn read(url: &str, variables: Variables<'_>, home: Option<&Path>) -> Result<Address, AddressError> {
    let variable = |name: &str| {
        let found = variables.iter().find(|(variable, _)| *variable == name);
        found.map(|(_, value)| (*value).to_owned())
    };
    Address::read(url, &Environment { variable: &variable, home: home.map(Path::to_owned) })
}

/// Debug output of the connection options of each host.
fn details(address: &Address) -> Vec<String> {
    address.hosts().iter().map(|host| format!("{host:?}")).collect()
}

/// The hosts, as `host:port`.
fn hosts(address: &Address) -> Vec<String> {
    address.hosts().iter().map(|host| format!("{}:{}", host.get_host(), host.get_port())).collect()
}
