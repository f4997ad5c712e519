//! Limits of connections and requests, and timeouts of the shutdown. Only the read throttle can be
//! turned off, because every other limit bounds what a peer may send or withhold.

use clap::Args;

use super::{Bytes, Count, Millis, Seconds};

/// Limits of the connections of a listener.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Connections")]
pub struct Connections {
    /// Maximum open connections of each listener; when 15 of 16 are taken, connections on which
    /// nothing has authenticated make way for new ones, first those of the source that has the most
    ///
    /// Lowered at startup if the file descriptor limit of the process does not allow as many.
    #[arg(long, value_name = "N", env = "JETON_MAX_CONNECTIONS", default_value = "1024")]
    pub max_connections: Count<1, 1_000_000>,

    /// Maximum open requests of each listener, gRPC streams among them
    ///
    /// Beyond that, a connection on which nothing has authenticated is closed: of the source with
    /// the most open requests, the one with the most. Without one, a source with more than half
    /// loses a connection, or the request is refused. For a moment there may be twice as many,
    /// while those of closed connections end.
    // An open request takes some 9 KiB, so all of them take some 36 MiB.
    #[arg(long, value_name = "N", env = "JETON_MAX_OPEN_REQUESTS", default_value = "4096")]
    pub max_open_requests: Count<16, 1_000_000>,

    /// Maximum concurrent requests on one HTTP/2 connection; the peer holds further ones back
    ///
    /// Before one has authenticated, 16 of them run at the same time and the others wait.
    // RFC 9113, section 6.5.2, recommends at least 100. The node holds the state of every open
    // stream, so the default is no higher.
    #[arg(long, value_name = "N", env = "JETON_MAX_STREAMS", default_value = "100")]
    pub max_streams: Count<1, 10_000>,

    /// Timeout for everything before the first request, in milliseconds: the TLS handshake, then
    /// the HTTP/2 preface or the first HTTP/1.1 header
    #[arg(long, value_name = "MS", env = "JETON_HANDSHAKE_TIMEOUT_MS", default_value = "5000")]
    pub handshake_timeout_ms: Millis<1, 3_600_000>,

    /// Idle timeout: how long a connection may go without a new request, in seconds; it takes up to
    /// a sixth longer, and a sixth of it while the listener is nearly full
    ///
    /// The default exceeds the minute of most load balancers, so that the load balancer is the one
    /// to close an idle connection.
    #[arg(long, value_name = "S", env = "JETON_IDLE_TIMEOUT_SECONDS", default_value = "120")]
    pub idle_timeout_seconds: Seconds<1, 604_800>,

    /// Maximum age of a connection, in seconds, minus up to a tenth so that connections do not all
    /// end at the same time; in-flight requests finish
    ///
    /// A shorter age spreads clients over new nodes sooner. Some clients fail a request that they
    /// send at the moment their connection is closed.
    #[arg(
        long,
        value_name = "S",
        env = "JETON_MAX_CONNECTION_AGE_SECONDS",
        default_value = "86400"
    )]
    pub max_connection_age_seconds: Seconds<1, 31_536_000>,

    /// Interval of HTTP/2 keep-alive pings, in seconds; the peer must answer within half of it
    #[arg(long, value_name = "S", env = "JETON_PING_INTERVAL_SECONDS", default_value = "20")]
    pub ping_interval_seconds: Seconds<1, 86_400>,

    /// Threads that serve connections [default: one per core]
    #[arg(long, value_name = "N", env = "JETON_WORKERS")]
    pub workers: Option<Count<1, 256>>,
}

/// Limits of requests.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Requests")]
pub struct Requests {
    /// Concurrency limit: maximum in-flight requests of each lane; one lane issues tokens, the
    /// other introspects and revokes; further requests are refused immediately and told to retry
    #[arg(long, value_name = "N", env = "JETON_MAX_REQUESTS", default_value = "1024")]
    pub max_requests: Count<1, 1_000_000>,

    /// Timeout of a request, in milliseconds; a caller may ask for a shorter one
    #[arg(long, value_name = "MS", env = "JETON_REQUEST_TIMEOUT_MS", default_value = "5000")]
    pub request_timeout_ms: Millis<1, 3_600_000>,

    /// Timeout for the body of an HTTP request to arrive, in milliseconds
    #[arg(long, value_name = "MS", env = "JETON_BODY_TIMEOUT_MS", default_value = "10000")]
    pub body_timeout_ms: Millis<1, 3_600_000>,

    /// Maximum size of the body of an HTTP request, in bytes
    #[arg(long, value_name = "BYTES", env = "JETON_MAX_BODY_BYTES", default_value = "16384")]
    pub max_body_bytes: Bytes<1_024, 1_048_576>,

    /// Maximum size of the header of a request, all fields and gRPC metadata together, in bytes
    #[arg(long, value_name = "BYTES", env = "JETON_MAX_HEADER_BYTES", default_value = "16384")]
    pub max_header_bytes: Bytes<8_192, 1_048_576>,

    /// Read throttle: failed requests per second of one source address above which its failing
    /// connections are read more slowly; 0 for no limit
    ///
    /// A request fails if authentication failed, if the lockout or a bounded queue refused it, or
    /// if it has a wrong path or is malformed. A connection of a trusted proxy, or one on which a
    /// call has succeeded, is never slowed, because others may share it: there the requests that
    /// fail are told to wait.
    #[arg(long, value_name = "N", env = "JETON_MAX_FAILURES_PER_SECOND", default_value = "500")]
    pub max_failures_per_second: Count<0, 1_000_000>,
}

/// Delays and timeouts of the shutdown.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Shutdown")]
pub struct Shutdown {
    /// Delay between failing the readiness probe and closing the listeners, in seconds; 0 for none
    ///
    /// Load balancers need this time to notice. gRPC health reports not serving as well.
    #[arg(long, value_name = "S", env = "JETON_PRE_STOP_SECONDS", default_value = "0")]
    pub pre_stop_seconds: Seconds<0, 86_400>,

    /// Timeout for in-flight requests when the process stops or their connection ends, in seconds;
    /// 0 to cut them off immediately
    #[arg(long, value_name = "S", env = "JETON_DRAIN_TIMEOUT_SECONDS", default_value = "20")]
    pub drain_timeout_seconds: Seconds<0, 86_400>,
}
