//! The HTTP face alone, before a node elsewhere.

use std::{net::SocketAddr, sync::Arc};

use tonic::transport::Channel;

use super::{
    StartError,
    probes::{Probes, Readiness},
};
use crate::{
    domain::Random,
    net::{Limits, Listener, Server, Workers, tls::Tls},
    oauth_http,
    request::AccessLog,
    rpc::{Admission, RemoteTokens},
    telemetry::{ListenerKind, Metrics, Readings},
};

/// What a shim is made of.
pub struct ShimOptions {
    /// The way to the node.
    pub upstream: Channel,
    /// Where HTTP is served.
    pub http_addr: SocketAddr,
    /// Where metrics and probes are served.
    pub probe_addr: Option<SocketAddr>,
    /// The randomness.
    pub random: Arc<dyn Random>,
    /// TLS for it, if any.
    pub tls: Option<Arc<Tls>>,
    /// The issuer; by default made from the HTTP address.
    pub issuer: Option<String>,
    /// The limits of the listener.
    pub limits: Limits,
    /// Threads that serve connections; with none they are served where the shim was started.
    pub workers: usize,
}

/// A running shim.
pub struct Shim {
    http_addr: SocketAddr,
    readiness: Arc<Readiness>,
    server: Server,
    /// Last, so that it tells of the drain as well.
    probes: Probes,
}

impl Shim {
    /// Starts a shim. Whether the node answers shows with the first request.
    pub async fn start(options: ShimOptions) -> Result<Self, StartError> {
        let listener = Listener::bind(options.http_addr, ListenerKind::Http).await?;
        let http_addr = listener.address;
        let issuer =
            options.issuer.unwrap_or_else(|| default_issuer(http_addr, options.tls.is_some()));
        let paths = oauth_http::paths(&issuer);
        let limits = options.limits;
        let admission = Admission::new(limits.max_requests, limits.request_timeout);
        let remote = RemoteTokens::new(options.upstream, admission.clone());
        let router = oauth_http::router(Arc::new(remote), http_options(issuer, &limits));
        let busy = move || Readings { busy: admission.refused(), ..Readings::default() };
        let metrics = Arc::new(Metrics::new(busy));
        let readiness = Readiness::new([]);
        let probes = Probes::start(options.probe_addr, &metrics, &readiness).await?;
        let workers = Workers::start(options.workers).map_err(StartError::Workers)?;
        let server = Server::new(limits, Arc::clone(&metrics), workers);
        let random = options.random.as_ref();
        let router = AccessLog::new(ListenerKind::Http, paths, metrics, random, router);
        server.serve(listener, router, options.tls);
        readiness.set_serving(true);
        Ok(Self { http_addr, readiness, server, probes })
    }

    /// Where HTTP is served; the port is the real one if 0 was asked for.
    #[must_use]
    pub const fn http_addr(&self) -> SocketAddr {
        self.http_addr
    }

    /// Where metrics and probes are served.
    #[must_use]
    pub const fn probe_addr(&self) -> SocketAddr {
        self.probes.address
    }

    /// Stops: the listener closes and open requests finish within their limits. True if nothing
    /// was cut.
    pub async fn drain(self) -> bool {
        self.readiness.set_serving(false);
        self.server.pre_stop().await;
        self.server.drain().await
    }
}

/// The HTTP face of a node and of a shim alone is one.
pub(super) const fn http_options(issuer: String, limits: &Limits) -> oauth_http::Options {
    oauth_http::Options {
        issuer,
        max_body_bytes: limits.max_body_bytes,
        body_timeout: limits.body_timeout,
    }
}

/// `localhost` for addresses that stand for this machine, so that the self-signed certificate and
/// the issuer agree.
pub(super) fn default_issuer(address: SocketAddr, tls: bool) -> String {
    let scheme = if tls { "https" } else { "http" };
    let ip = address.ip();
    if ip.is_loopback() || ip.is_unspecified() {
        format!("{scheme}://localhost:{}", address.port())
    } else {
        format!("{scheme}://{address}")
    }
}
