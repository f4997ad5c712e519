//! What becomes of an address: what is accepted, and what is refused by name.

mod accepted;
mod files;
mod refused;

use std::path::Path;

use super::{Address, AddressError, Environment};

/// Variables of the environment, with their values.
type Variables<'a> = &'a [(&'a str, &'a str)];

/// Reads a URL in an environment of these variables and, if one is given, this home directory.
fn read(url: &str, variables: Variables<'_>, home: Option<&Path>) -> Result<Address, AddressError> {
    let variable = |name: &str| {
        let found = variables.iter().find(|(variable, _)| *variable == name);
        found.map(|(_, value)| (*value).to_owned())
    };
    Address::read(url, &Environment { variable: &variable, home: home.map(Path::to_owned) })
}

/// Everything that the driver is given for each host.
fn details(address: &Address) -> Vec<String> {
    address.hosts().iter().map(|host| format!("{host:?}")).collect()
}

/// The hosts, as `host:port`.
fn hosts(address: &Address) -> Vec<String> {
    address.hosts().iter().map(|host| format!("{}:{}", host.get_host(), host.get_port())).collect()
}
