//! The limits of a listener: for its connections, requests, bodies and the drain.

use std::time::Duration;

use crate::config::{Connections, Requests, Shutdown};

/// Maximum open connections of the probe listener: a scraper or two, the probes, an operator.
pub(crate) const MAX_PROBE_CONNECTIONS: u32 = 16;

/// Maximum open connections of the control listener: some operators, and the programs that manage
/// clients.
pub(crate) const MAX_CONTROL_CONNECTIONS: u32 = 16;

/// Limits of a listener and of its requests.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Maximum open connections.
    pub max_connections: u32,
    /// Maximum open requests of all connections, from their header to the end of the response.
    pub max_open_requests: u32,
    /// Maximum calls in flight in each lane.
    pub max_requests: u32,
    /// Timeout for everything before the first request: the TLS handshake, the HTTP/2 preface, the
    /// first HTTP/1.1 header.
    pub handshake_timeout: Duration,
    /// Timeout of a connection without a new request. It takes up to a sixth longer.
    pub idle_timeout: Duration,
    /// Maximum age of a connection. Each connection gets up to a tenth less.
    pub max_connection_age: Duration,
    /// Interval of HTTP/2 pings. The peer has half as long to answer.
    pub ping_interval: Duration,
    /// Maximum requests in flight on one HTTP/2 connection.
    pub max_streams: u32,
    /// Maximum header size of a request in bytes, all fields and gRPC metadata together.
    pub max_header_bytes: u32,
    /// Timeout of a whole request.
    pub request_timeout: Duration,
    /// Timeout for the body of an HTTP request to arrive.
    pub body_timeout: Duration,
    /// Maximum body size of an HTTP request in bytes.
    pub max_body_bytes: usize,
    /// Read throttle: failed requests per second of one source above which its failing connections
    /// are read more slowly. 0 turns it off.
    pub max_failures_per_second: u32,
    /// How long to keep serving after health reports `NOT_SERVING`.
    pub pre_stop: Duration,
    /// Timeout for open requests to finish when the node or their connection ends.
    pub drain_timeout: Duration,
}

impl Limits {
    /// The limits from the configuration.
    #[must_use]
    pub fn new(connections: &Connections, requests: &Requests, shutdown: &Shutdown) -> Self {
        Self {
            max_connections: connections.max_connections.get(),
            max_open_requests: connections.max_open_requests.get(),
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
