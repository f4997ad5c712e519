//! Whether a host is this machine, for the rule that nothing leaves it without TLS.

use std::net::IpAddr;

/// Whether connections to this host stay on this machine: a loopback address, or `localhost`. IPv6
/// addresses may have the brackets of a URL. Other names are not looked up, because the answer
/// could be another one when the connection is made.
#[must_use]
pub fn is_this_machine(host: &str) -> bool {
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    let address = bare.parse::<IpAddr>().map(|address| address.to_canonical());
    address.is_ok_and(|address| address.is_loopback()) || host.eq_ignore_ascii_case("localhost")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_addresses_and_localhost_are_this_machine_and_nothing_else_is() {
        for host in ["127.0.0.1", "127.8.9.1", "::1", "[::1]", "::ffff:127.0.0.1", "LocalHost"] {
            assert!(is_this_machine(host), "{host}");
        }
        for host in [
            "",
            "0.0.0.0",
            "::",
            "10.0.0.1",
            "128.0.0.1",
            "::ffff:10.0.0.1",
            "localhost.test",
            "127.0.0.1.test",
            "[localhost]x",
            "jeton",
        ] {
            assert!(!is_this_machine(host), "{host}");
        }
    }
}
