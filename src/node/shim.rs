//! The shim alone: the HTTP front end of a node that runs elsewhere.

use std::{net::SocketAddr, sync::Arc};

use tonic::transport::Channel;

use super::{
    StartError,
    probes::{Probes, Readiness},
};
use crate::{
    config::Proxies,
    domain::Random,
    net::{Limits, Listener, Server, Workers, tls::Tls},
    oauth_http::{self, StrictHttp},
    request::AccessLog,
    rpc::{Admission, RemoteTokens},
    telemetry::{ListenerKind, Metrics, Readings},
};

/// Options of a shim.
pub struct ShimOptions {
    /// gRPC channel to the node.
    pub upstream: Channel,
    /// Address of the HTTP listener; port 0 is any free port.
    pub http_addr: SocketAddr,
    /// Address of the probe listener. `None`: 127.0.0.1:9090, or any free port if that is taken.
    pub probe_addr: Option<SocketAddr>,
    /// Source of randomness.
    pub random: Arc<dyn Random>,
    /// TLS of the HTTP listener. `None`: plain text.
    pub tls: Option<Arc<Tls>>,
    /// Proxies in front of the HTTP listener.
    pub proxies: Proxies,
    /// Issuer identifier. `None`: derived from the HTTP address.
    pub issuer: Option<String>,
    /// Limits of the HTTP listener.
    pub limits: Limits,
    /// Number of worker threads. 0: connections are served on the runtime that starts the shim.
    pub workers: usize,
}

/// A running shim.
pub struct Shim {
    http_addr: SocketAddr,
    readiness: Arc<Readiness>,
    server: Server,
    /// The last field, so that it is dropped last and serves probes during the drain.
    probes: Probes,
}

impl Shim {
    /// Starts a shim. The node is not contacted until the first request.
    pub async fn start(options: ShimOptions) -> Result<Self, StartError> {
        let listener = Listener::bind(options.http_addr, ListenerKind::Http).await?;
        let http_addr = listener.address;
        let issuer =
            options.issuer.unwrap_or_else(|| default_issuer(http_addr, options.tls.is_some()));
        let paths = oauth_http::paths(&issuer);
        let limits = options.limits;
        let admission = Admission::new(limits.max_requests, limits.request_timeout);
        let remote = RemoteTokens::new(options.upstream, admission.clone());
        let link = remote.link();
        let router = oauth_http::router(Arc::new(remote), http_options(issuer, &limits));
        let read = move || Readings {
            busy: admission.refused(),
            upstream_failures: Some(link.failures()),
            ..Readings::default()
        };
        let metrics = Arc::new(Metrics::new(read));
        let readiness = Readiness::new([]);
        let probes = Probes::start(options.probe_addr, &metrics, &readiness).await?;
        let workers = Workers::start(options.workers).map_err(StartError::Workers)?;
        let saturation = Arc::clone(&readiness.saturation);
        let server = Server::new(limits, Arc::clone(&metrics), workers, saturation);
        let server = server.behind(options.proxies);
        let random = options.random.as_ref();
        let router = StrictHttp { router, has_tls: options.tls.is_some() };
        let router = AccessLog::new(ListenerKind::Http, paths, metrics, random, router);
        server.serve(listener, router, options.tls);
        readiness.set_serving(true);
        Ok(Self { http_addr, readiness, server, probes })
    }

    /// Address of the HTTP listener, with the actual port if 0 was requested.
    #[must_use]
    pub const fn http_addr(&self) -> SocketAddr {
        self.http_addr
    }

    /// Address of the probe listener, with the actual port.
    #[must_use]
    pub const fn probe_addr(&self) -> SocketAddr {
        self.probes.address
    }

    /// Drains and stops the shim: the listener closes, and open requests finish within their
    /// limits. True if no connection was cut.
    pub async fn drain(self) -> bool {
        self.readiness.set_serving(false);
        self.server.pre_stop().await;
        self.server.drain().await
    }
}

/// Options of the HTTP front end, the same for a node and for a shim alone.
pub(super) const fn http_options(issuer: String, limits: &Limits) -> oauth_http::Options {
    oauth_http::Options {
        issuer,
        max_body_bytes: limits.max_body_bytes,
        body_timeout: limits.body_timeout,
    }
}

/// The default issuer. Loopback and unspecified addresses become `localhost`, so that the issuer
/// matches the self-signed certificate.
pub(super) fn default_issuer(address: SocketAddr, tls: bool) -> String {
    let scheme = if tls { "https" } else { "http" };
    let ip = address.ip();
    if ip.is_loopback() || ip.is_unspecified() {
        format!("{scheme}://localhost:{}", address.port())
    } else {
        format!("{scheme}://{address}")
    }
}
