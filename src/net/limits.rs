//! The limits of a listener: of its connections, of a request, of a body and of the drain.

use std::time::Duration;

use crate::config::{Connections, Requests, Shutdown};

/// Maximum open connections of the probe listener: a scraper or two, the probes, a person.
pub(crate) const MAX_PROBE_CONNECTIONS: u32 = 16;

/// The limits of a listener and of its requests.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Most open connections.
    pub max_connections: u32,
    /// Most calls at once of each kind: issuing, and all others.
    pub max_requests: u32,
    /// For all that comes before the first request: the TLS handshake, the preface of HTTP/2, the
    /// first header of HTTP/1.1.
    pub handshake_timeout: Duration,
    /// For a connection without a new request; on HTTP/2 up to twice as long.
    pub idle_timeout: Duration,
    /// For a connection as a whole, up to a tenth less.
    pub max_connection_age: Duration,
    /// How often a peer on HTTP/2 is pinged; it has half as long to answer.
    pub ping_interval: Duration,
    /// Most requests at once on a connection of HTTP/2.
    pub max_streams: u32,
    /// The largest header of a request, all fields and gRPC metadata together.
    pub max_header_bytes: u32,
    /// For a whole request.
    pub request_timeout: Duration,
    /// For the body of an HTTP request to arrive.
    pub body_timeout: Duration,
    /// The largest body of an HTTP request.
    pub max_body_bytes: usize,
    /// Refused requests a second that are free for a source; then those of its connections that
    /// fail are read more slowly. 0 is no limit.
    pub max_failures_per_second: u32,
    /// How long to go on serving after health says `NOT_SERVING`.
    pub pre_stop: Duration,
    /// How long open requests may take to finish when the node or their connection ends.
    pub drain_timeout: Duration,
}

impl Limits {
    /// The limits that the configuration names.
    #[must_use]
    pub fn new(connections: &Connections, requests: &Requests, shutdown: &Shutdown) -> Self {
        Self {
            max_connections: connections.max_connections.get(),
            max_requests: requests.max_requests.get(),
            handshake_timeout: connections.handshake_timeout_ms.duration(),
            idle_timeout: connections.idle_timeout_seconds.duration(),
            max_connection_age: connections.max_connection_age_seconds.duration(),
            ping_interval: connections.ping_interval_seconds.duration(),
            max_streams: connections.max_streams.get(),
            max_header_bytes: requests.max_header_bytes.get(),
            request_timeout: requests.request_timeout_ms.duration(),
            body_timeout: requests.body_timeout_ms.duration(),
            max_body_bytes: requests.max_body_bytes.size(),
            max_failures_per_second: requests.max_failures_per_second.get(),
            pre_stop: shutdown.pre_stop_seconds.duration(),
            drain_timeout: shutdown.drain_timeout_seconds.duration(),
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self::new(&Connections::default(), &Requests::default(), &Shutdown::default())
    }
}
