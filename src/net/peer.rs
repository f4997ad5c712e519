//! The peer of a connection, and the source of its requests: the address of the connection, or what
//! a trusted proxy says. Any other caller can write `X-Forwarded-For`, so its headers are ignored.

use std::{
    net::{IpAddr, Ipv6Addr, SocketAddr},
    sync::Arc,
};

use http::HeaderMap;
use rustls::{client::verify_server_name, pki_types::CertificateDer, server::ParsedCertificate};

use super::{forwarded, socket::THIS_MACHINE};
use crate::{config::Proxies, request::LocalUser};

/// The peer of a connection.
pub(super) struct Peer {
    pub(super) address: SocketAddr,
    /// The user of a peer on a Unix socket.
    pub(super) user: Option<LocalUser>,
    /// The proxies to trust, if the peer is one of them.
    trusted: Option<Arc<Proxies>>,
}

impl Peer {
    /// The peer at this address, with this certificate, if it has shown one. The certificate has
    /// been verified against the authorities for clients.
    pub(super) fn new(
        address: SocketAddr,
        certificate: Option<&CertificateDer<'_>>,
        proxies: &Arc<Proxies>,
    ) -> Self {
        let is_trusted = proxies.trust(address.ip())
            || certificate.is_some_and(|certificate| has_trusted_name(certificate, proxies));
        Self { address, user: None, trusted: is_trusted.then(|| Arc::clone(proxies)) }
    }

    /// The peer on a Unix socket that runs as this user.
    pub(super) const fn of_this_machine(uid: u32) -> Self {
        Self { address: THIS_MACHINE, user: Some(LocalUser { uid }), trusted: None }
    }

    /// Whether it is a trusted proxy, so that its connections carry requests of many sources.
    pub(super) const fn is_trusted(&self) -> bool {
        self.trusted.is_some()
    }

    /// The source of the connection itself.
    pub(super) fn source(&self) -> IpAddr {
        source_of(self.address.ip())
    }

    /// The source of a request with these headers.
    pub(super) fn source_of_request(&self, headers: &HeaderMap) -> IpAddr {
        let address = self.address.ip();
        source_of(match &self.trusted {
            Some(proxies) => forwarded::source_of(headers, address, |hop| proxies.trust(hop)),
            None => address,
        })
    }
}

fn has_trusted_name(certificate: &CertificateDer<'_>, proxies: &Proxies) -> bool {
    let names = proxies.trusted_names();
    let certificate = (!names.is_empty()).then(|| ParsedCertificate::try_from(certificate).ok());
    certificate.flatten().is_some_and(|certificate| {
        names.iter().any(|name| verify_server_name(&certificate, name).is_ok())
    })
}

/// Returns the source at an address. An IPv6 /64 is assigned to one machine or household as a
/// whole, so its addresses are one source.
pub(super) fn source_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
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
            ("192.0.2.7", "192.0.2.7"),
            ("::ffff:192.0.2.7", "192.0.2.7"),
            ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"),
            ("2001:db8:1:2::9", "2001:db8:1:2::"),
        ];
        for (address, source) in rows {
            assert_eq!(source_of(address.parse().unwrap()).to_string(), source);
        }
    }
}
