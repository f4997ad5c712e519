//! Settings of the listeners, and the issuer identifier.

use std::{net::SocketAddr, path::PathBuf, str::FromStr};

use clap::Args;

/// gRPC listener.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Listeners")]
pub struct GrpcListener {
    /// Address for gRPC
    #[arg(long, value_name = "IP:PORT", env = "JETON_GRPC_ADDR", default_value = "127.0.0.1:50051",
          value_parser = address)]
    pub grpc_addr: SocketAddr,
}

/// HTTP and probe listeners, and the issuer identifier.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Listeners")]
pub struct HttpListeners {
    /// Address for HTTP
    #[arg(long, value_name = "IP:PORT", env = "JETON_HTTP_ADDR", default_value = "127.0.0.1:8080",
          value_parser = address)]
    pub http_addr: SocketAddr,

    /// Address for metrics (/metrics) and probes (/livez, /readyz), without TLS or authentication
    /// [default: 127.0.0.1:9090, or a free port if that is taken]
    ///
    /// Bind it to this machine or to a network that only operators can reach.
    #[arg(long, alias = "admin-addr", value_name = "IP:PORT", env = "JETON_PROBE_ADDR",
          value_parser = address)]
    pub probe_addr: Option<SocketAddr>,

    /// Issuer identifier (RFC 8414), a URL without a trailing slash [default: derived from the HTTP
    /// address]
    ///
    /// Clients compare it byte for byte with the issuer that they are configured with.
    #[arg(long, value_name = "URL", env = "JETON_ISSUER", value_parser = issuer)]
    pub issuer: Option<String>,
}

/// Control listener, for administrators.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Listeners")]
pub struct ControlListener {
    /// Address for administrators: `unix:` and a path, IP:PORT, or `none`
    /// [default: `unix:DATA_DIR/control.sock`, if the node has a data directory]
    ///
    /// On the Unix socket, root and the user of the node may do everything. All other callers need
    /// a token for administration. Beyond this machine the listener needs TLS, as the others do.
    #[arg(long, value_name = "ADDRESS", env = "JETON_CONTROL_ADDR")]
    pub control_addr: Option<ControlAddress>,
}

/// Address of the control listener.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ControlAddress {
    /// There is none.
    None,
    /// A TCP address.
    Tcp(SocketAddr),
    /// A Unix socket.
    Unix(PathBuf),
}

impl FromStr for ControlAddress {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const REMEDY: &str = "must be `unix:` and an absolute path, such as \
            unix:/run/jeton/control.sock, an IP address and a port, such as 127.0.0.1:50052, or \
            none";
        if text == "none" {
            return Ok(Self::None);
        }
        match text.strip_prefix("unix:").map(PathBuf::from) {
            Some(path) if path.is_absolute() => Ok(Self::Unix(path)),
            Some(_) => Err(REMEDY),
            None => text.parse().map(Self::Tcp).map_err(|_| REMEDY),
        }
    }
}

/// Probe listener of a running node or shim, for a command that asks it.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Listeners")]
pub struct RunningProbes {
    /// Address of the probe listener (`--probe-addr` of the node); one that stands for all
    /// addresses, such as 0.0.0.0, is asked on this machine
    #[arg(long = "addr", value_name = "IP:PORT", env = "JETON_PROBE_ADDR",
          default_value = "127.0.0.1:9090", value_parser = address)]
    pub probe_addr: SocketAddr,
}

fn address(text: &str) -> Result<SocketAddr, &'static str> {
    text.parse()
        .map_err(|_| "must be an IP address and a port, such as 127.0.0.1:8080 or [::1]:8080")
}

fn issuer(text: &str) -> Result<String, &'static str> {
    let is_plain = (text.starts_with("https://") || text.starts_with("http://"))
        && !text.ends_with('/')
        && !text.contains(['?', '#', ' ', '"', '\\']);
    is_plain.then(|| text.to_owned()).ok_or(
        "the issuer must be a URL such as https://tokens.example.com, without query, fragment or \
         trailing slash (RFC 8414, section 2)",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_control_address_is_a_socket_an_address_or_none() {
        let parsed = |text: &str| text.parse::<ControlAddress>();
        assert_eq!(parsed("none"), Ok(ControlAddress::None));
        assert_eq!(parsed("unix:/run/j.sock"), Ok(ControlAddress::Unix("/run/j.sock".into())));
        let address = "[::1]:50052".parse().unwrap();
        assert_eq!(parsed("[::1]:50052"), Ok(ControlAddress::Tcp(address)));
        for text in ["", "unix:", "unix:j.sock", "/run/j.sock", "localhost:50052", "50052", "off"] {
            assert!(parsed(text).unwrap_err().contains("unix:/run/jeton/control.sock"), "{text}");
        }
    }
}
