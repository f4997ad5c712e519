//! Proxies in front of the listeners: which peers may say for whom they forward.

use std::{net::IpAddr, str::FromStr};

use clap::Args;
use ipnet::IpNet;
use rustls::pki_types::ServerName;

use super::Tls;

/// Proxies in front of the gRPC and HTTP listeners.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Proxies")]
pub struct Proxies {
    /// Proxies and shims that are trusted to name the source of a request, in the header
    /// `Forwarded` or `X-Forwarded-For`: addresses, networks, and `cert:NAME` for a client
    /// certificate with this name, separated by commas
    ///
    /// Each of them must append the address of its caller to that header. List no address from
    /// which other programs can connect: they could claim any source. From all other peers both
    /// headers are ignored.
    #[arg(long, value_name = "LIST", env = "JETON_TRUSTED_PROXY")]
    pub trusted_proxy: Option<TrustedProxies>,

    /// Proxies whose connections begin with a header of the PROXY protocol, version 2: addresses
    /// and networks, separated by commas
    ///
    /// Their connections are refused without it. From all other peers it is not accepted.
    #[arg(long, value_name = "LIST", env = "JETON_PROXY_PROTOCOL")]
    pub proxy_protocol: Option<Networks>,
}

impl Proxies {
    /// Whether the peer at this address is trusted to name the source of a request.
    #[must_use]
    pub fn trust(&self, address: IpAddr) -> bool {
        self.trusted_proxy.as_ref().is_some_and(|trusted| trusted.networks.contains(address))
    }

    /// Names of client certificates whose holders are trusted in the same way.
    #[must_use]
    pub fn trusted_names(&self) -> &[ServerName<'static>] {
        self.trusted_proxy.as_ref().map_or(&[], |trusted| &trusted.names)
    }

    /// Whether connections from this address begin with a header of the PROXY protocol.
    #[must_use]
    pub fn announce(&self, address: IpAddr) -> bool {
        self.proxy_protocol.as_ref().is_some_and(|networks| networks.contains(address))
    }

    /// Checks the combination with the settings of TLS.
    ///
    /// # Errors
    /// If a certificate is trusted that no client can present.
    pub fn check(&self, tls: &Tls) -> anyhow::Result<()> {
        anyhow::ensure!(
            self.trusted_names().is_empty() || tls.tls_client_ca.is_some(),
            "`cert:` in --trusted-proxy requires --tls-client-ca, to verify the certificates"
        );
        Ok(())
    }
}

/// Peers that may name the source of a request.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TrustedProxies {
    /// Their addresses.
    pub networks: Networks,
    /// The names in their client certificates.
    pub names: Vec<ServerName<'static>>,
}

impl FromStr for TrustedProxies {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut trusted = Self::default();
        for item in text.split(',').map(str::trim) {
            match item.strip_prefix("cert:") {
                // The names of certificates are the other thing that may be listed here.
                None => trusted.networks.0.push(network(item).map_err(|error| match error {
                    NotANetwork::Unknown => format!("{error}, or cert:NAME for a certificate"),
                    error => error.to_string(),
                })?),
                Some(name) => trusted.names.push(
                    ServerName::try_from(name.to_owned())
                        .map_err(|_| "`cert:` must be followed by a DNS name or an IP address")?,
                ),
            }
        }
        Ok(trusted)
    }
}

/// A set of addresses.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Networks(Vec<IpNet>);

impl Networks {
    /// Whether the address is in one of the networks. IPv4 within IPv6 counts as IPv4.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0.iter().any(|network| network.contains(&address))
    }
}

impl FromStr for Networks {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let networks = text.split(',').map(|item| network(item.trim())).collect::<Result<_, _>>();
        networks.map(Self).map_err(|error| error.to_string())
    }
}

/// Why a text is not a network that can be trusted.
#[derive(Debug, thiserror::Error)]
enum NotANetwork {
    #[error(
        "must be addresses and networks such as 192.0.2.7, 10.1.0.0/16 or 2001:db8::/48, separated \
         by commas"
    )]
    Unknown,
    #[error("is not the first address of a network; write {0}")]
    Inside(IpNet),
    #[error("a network of all addresses would let everybody claim any source")]
    Everything,
    #[error("write networks of IPv4 as IPv4, such as 192.0.2.0/24")]
    Mapped,
}

fn network(text: &str) -> Result<IpNet, NotANetwork> {
    let address = text.parse::<IpAddr>().map(IpNet::from);
    let network = address.or_else(|_| text.parse::<IpNet>()).map_err(|_| NotANetwork::Unknown)?;
    // A mistyped network would trust more or fewer peers than it seems to.
    if network.trunc() != network {
        return Err(NotANetwork::Inside(network.trunc()));
    }
    if network.prefix_len() == 0 {
        return Err(NotANetwork::Everything);
    }
    if matches!(network, IpNet::V6(network) if network.addr().to_ipv4_mapped().is_some()) {
        return Err(NotANetwork::Mapped);
    }
    Ok(network)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_holds_addresses_networks_and_names() {
        let list = "192.0.2.7, 10.1.0.0/16,2001:db8::/48 ,cert:shim.example.com";
        let trusted: TrustedProxies = list.parse().unwrap();
        for (address, is_in) in [
            ("192.0.2.7", true),
            ("::ffff:192.0.2.7", true),
            ("192.0.2.8", false),
            ("10.1.255.255", true),
            ("10.2.0.0", false),
            ("2001:db8:0:ffff::1", true),
            ("2001:db8:1::1", false),
        ] {
            assert_eq!(trusted.networks.contains(address.parse().unwrap()), is_in, "{address}");
        }
        assert_eq!(trusted.names, ["shim.example.com".try_into().unwrap()]);
    }

    #[test]
    fn what_would_trust_others_than_it_seems_to_is_refused() {
        for (list, told) in [
            ("", "must be addresses"),
            ("192.0.2.7,", "must be addresses"),
            ("proxy.example.com", "or cert:NAME"),
            ("192.0.2.7:80", "must be addresses"),
            ("10.1.0.1/16", "write 10.1.0.0/16"),
            ("0.0.0.0/0", "all addresses"),
            ("::/0", "all addresses"),
            ("::ffff:10.0.0.0/104", "as IPv4"),
            ("cert:", "DNS name"),
            ("cert:a b", "DNS name"),
        ] {
            let refused = list.parse::<TrustedProxies>().unwrap_err();
            assert!(refused.contains(told), "{list}: {refused}");
        }
        assert!("cert:a.example".parse::<Networks>().is_err(), "TLS comes later");
    }
}
