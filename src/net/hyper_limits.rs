//! hyper's builder with a limit for everything that a peer could make endless or large within the
//! protocol.

use hyper_util::{
    rt::{TokioExecutor, TokioTimer},
    server::conn::auto::Builder,
};

use super::{detect::Protocol, limits::Limits};

/// Maximum header fields of an HTTP/1.1 request. Behind a proxy there are some thirty. On HTTP/2
/// each field counts as 32 bytes more than its text, so the size limit bounds their number.
const MAX_HEADER_FIELDS: usize = 100;

/// Flow-control windows in bytes: how much a peer may send, before it is read, on one stream and
/// on all streams of a connection. The first is the size of the largest message; the second bounds
/// the memory that a peer can take.
const STREAM_WINDOW: u32 = 64 * 1024;
const CONNECTION_WINDOW: u32 = 128 * 1024;

/// Maximum bytes buffered of a response that its peer does not read. Responses are a few kilobytes.
const MAX_SEND_BUFFER: usize = 64 * 1024;

/// Maximum streams that the peer opens and resets before the server accepts them; one more ends the
/// connection (CVE-2023-44487). An honest client that gives up resets streams that were accepted.
const MAX_UNSEEN_RESETS: usize = 20;

/// Maximum streams that the server resets because of invalid frames, over the whole life of a
/// connection, so there is room for a client that errs now and then (RUSTSEC-2024-0003).
const MAX_FAULTY_STREAMS: usize = 1_024;

/// Minimum size of hyper's header buffer.
const MIN_HEADER_BYTES: u32 = 8 * 1024;

/// A builder for connections of this protocol.
pub(super) fn builder(limits: &Limits, protocol: Protocol) -> Builder<TokioExecutor> {
    let builder = Builder::new(TokioExecutor::new());
    let mut builder = match protocol {
        Protocol::Http1 => builder.http1_only(),
        Protocol::Http2 => builder.http2_only(),
    };
    let max_header_bytes = limits.max_header_bytes.max(MIN_HEADER_BYTES);
    builder
        .http1()
        // Off, because hyper would set up a timer for each request. The idle timeout also ends a
        // connection on which a header stops half way.
        .header_read_timeout(None)
        .max_headers(MAX_HEADER_FIELDS)
        .max_buf_size(max_header_bytes as usize);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(limits.max_streams)
        .max_header_list_size(max_header_bytes)
        .max_pending_accept_reset_streams(MAX_UNSEEN_RESETS)
        .max_local_error_reset_streams(MAX_FAULTY_STREAMS)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_send_buf_size(MAX_SEND_BUFFER)
        .keep_alive_interval(limits.ping_interval)
        .keep_alive_timeout(limits.ping_interval / 2);
    builder
}
