//! Settings of the listeners, and the issuer identifier.

use std::net::SocketAddr;

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
