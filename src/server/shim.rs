//! The HTTP face alone, before a node elsewhere.

use std::{net::SocketAddr, sync::Arc};

use super::{
    StartError, default_issuer,
    listen::{Limits, Listener, Serving},
    tls::Tls,
};
use crate::http::{self, Transport};

/// What a shim is made of.
pub struct ShimOptions {
    /// The way to the node.
    pub transport: Transport,
    /// Where HTTP is served.
    pub http_addr: SocketAddr,
    /// TLS for it, if any.
    pub tls: Option<Arc<Tls>>,
    /// The issuer; by default made from the HTTP address.
    pub issuer: Option<String>,
    /// The limits of the listener.
    pub limits: Limits,
}

/// A running shim.
pub struct Shim {
    http_addr: SocketAddr,
    serving: Serving,
}

impl Shim {
    /// Starts a shim. Whether the node answers shows with the first request.
    pub async fn start(options: ShimOptions) -> Result<Self, StartError> {
        let listener = Listener::bind(options.http_addr, "HTTP").await?;
        let http_addr = listener.address;
        let issuer =
            options.issuer.unwrap_or_else(|| default_issuer(http_addr, options.tls.is_some()));
        let router = http::router(options.transport, http_options(issuer, &options.limits));
        let serving = Serving::new(options.limits);
        serving.serve(listener, router, options.tls);
        Ok(Self { http_addr, serving })
    }

    /// Where HTTP is served; the port is the real one if 0 was asked for.
    #[must_use]
    pub const fn http_addr(&self) -> SocketAddr {
        self.http_addr
    }

    /// Stops: the listener closes and open requests finish within their limits. True if nothing
    /// was cut.
    pub async fn drain(self) -> bool {
        self.serving.pre_stop().await;
        self.serving.drain().await
    }
}

/// The HTTP face of a node and of a shim alone is one.
pub(super) const fn http_options(issuer: String, limits: &Limits) -> http::Options {
    http::Options {
        issuer,
        max_body_bytes: limits.max_body_bytes,
        body_timeout: limits.body_timeout,
        request_timeout: limits.request_timeout,
    }
}
