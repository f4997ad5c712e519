//! The source of a request: the address of its connection, never a header, because any caller can
//! write `X-Forwarded-For`.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

/// Returns the source of a peer. An IPv6 /64 is assigned to one machine or household as a whole, so
/// its addresses are one source.
pub(super) fn source_of(peer: SocketAddr) -> IpAddr {
    match peer.ip().to_canonical() {
        IpAddr::V6(ip) => {
            let [a, b, c, d, ..] = ip.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
        ip @ IpAddr::V4(_) => ip,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_one_network_are_one_source() {
        let rows = [
            ("192.0.2.7:1", "192.0.2.7"),
            ("[::ffff:192.0.2.7]:1", "192.0.2.7"),
            ("[2001:db8:1:2:3:4:5:6]:1", "2001:db8:1:2::"),
            ("[2001:db8:1:2::9]:1", "2001:db8:1:2::"),
        ];
        for (peer, source) in rows {
            assert_eq!(source_of(peer.parse().unwrap()).to_string(), source);
        }
    }
}
