//! One connection, from its first byte to its last: TLS, the protocol, and a limit for everything
//! that a peer could make endless or large.

use std::{
    convert::Infallible,
    io::{self, Cursor},
    net::SocketAddr,
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use futures_util::FutureExt;
use hyper::service::service_fn;
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto::Builder,
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite},
    net::TcpStream,
    time::{Sleep, sleep, timeout},
};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use super::{
    detect::{self, Protocol},
    limits::Limits,
    peer,
    read_throttle::{ReadThrottles, ThrottledReader},
    tls::Tls,
};
use crate::request::{Handler, Outcome};

/// Most fields in the header of a request over HTTP/1.1. Behind a proxy there are some thirty. On
/// HTTP/2 each counts for 32 bytes more than it holds, so that their size limits their number.
const MAX_HEADER_FIELDS: usize = 100;

/// What a peer may send on one stream before we have read it, and on all streams of a connection.
/// The largest message is of the first size; the second bounds the memory that a peer can take.
const STREAM_WINDOW: u32 = 64 * 1024;
const CONNECTION_WINDOW: u32 = 256 * 1024;

/// What is kept of an answer that its peer does not fetch. Answers are a few kilobytes.
const MAX_SEND_BUFFER: usize = 64 * 1024;

/// Streams that were opened and reset again before we saw them; with one more the connection ends.
/// A client that gives up early resets streams that we have seen (CVE-2023-44487).
const MAX_UNSEEN_RESETS: usize = 20;

/// Streams that we had to reset because of what the peer sent, over the whole life of a connection,
/// so there is room for a client that errs now and then (RUSTSEC-2024-0003).
const MAX_FAULTY_STREAMS: usize = 1_024;

/// The smallest buffer that hyper reads a header into.
const MIN_HEADER_BYTES: u32 = 8 * 1024;

/// What the connections of one listener share.
#[derive(Clone)]
pub(super) struct Connections<H> {
    pub(super) service: H,
    pub(super) tls: Option<Arc<Tls>>,
    pub(super) limits: Limits,
    pub(super) throttles: ReadThrottles,
    /// Cancelled when connections shall finish.
    pub(super) stop: CancellationToken,
}

impl<H: Handler> Connections<H> {
    /// Serves one connection until it ends by itself, has had its time, or the node stops.
    pub(super) async fn serve(
        self,
        stream: std::net::TcpStream,
        peer: SocketAddr,
    ) -> Result<(), Closed> {
        let stream = TcpStream::from_std(stream)?;
        stream.set_nodelay(true)?;
        // One deadline for all that comes before the first request, or a peer could have it again
        // and again by going one step at a time.
        let mut patience = pin!(sleep(self.limits.handshake_timeout));
        let Some(tls) = &self.tls else {
            return self.serve_requests(stream, peer, patience).await;
        };
        let handshake = TlsAcceptor::from(tls.current()).accept(stream);
        let stream = self.before_first_request(patience.as_mut(), handshake).await?;
        self.serve_requests(stream, peer, patience).await
    }

    /// A step before the first request. Nothing has been promised yet, so it ends with the node.
    async fn before_first_request<T>(
        &self,
        patience: Pin<&mut Sleep>,
        step: impl Future<Output = io::Result<T>>,
    ) -> Result<T, Closed> {
        tokio::select! {
            done = step => Ok(done?),
            () = patience => Err(Closed),
            () = self.stop.cancelled() => Err(Closed),
        }
    }

    async fn serve_requests<S>(
        self,
        stream: S,
        peer: SocketAddr,
        mut patience: Pin<&mut Sleep>,
    ) -> Result<(), Closed>
    where
        S: AsyncRead + AsyncWrite + Send + 'static,
    {
        let source = peer::source_of(peer);
        let throttle = self.throttles.of(source);
        let (reader, writer) = tokio::io::split(stream);
        let mut reader = ThrottledReader::new(reader, Arc::clone(&throttle));
        let (protocol, head) =
            self.before_first_request(patience.as_mut(), detect::protocol(&mut reader)).await?;
        let stream = tokio::io::join(Cursor::new(head).chain(reader), writer);

        // That requests begin is counted, which is all it takes to see that none does any more.
        let begun = Arc::new(AtomicU64::new(0));
        let (service, count) = (self.service.clone(), Arc::clone(&begun));
        let service = service_fn(move |request| {
            count.fetch_add(1, Ordering::Relaxed);
            let throttle = Arc::clone(&throttle);
            service.clone().handle(request, source).map(move |response| {
                if response.extensions().get().is_some_and(Outcome::is_throttled) {
                    throttle.failed();
                }
                Ok::<_, Infallible>(response)
            })
        });
        let builder = self.builder(protocol);
        let mut connection = pin!(builder.serve_connection(TokioIo::new(stream), service));
        tokio::select! {
            ended = connection.as_mut() => return ended.map_err(|_| Closed),
            () = self.stop.cancelled() => {}
            () = self.expired(protocol, peer, patience, &begun) => {}
        }
        // An HTTP/1.1 connection without a whole header has nothing that could be finished, and
        // hyper would wait for the rest of it. On HTTP/2 the peer is told by GOAWAY.
        if protocol == Protocol::Http1 && begun.load(Ordering::Relaxed) == 0 {
            return Err(Closed);
        }
        connection.as_mut().graceful_shutdown();
        timeout(self.limits.drain_timeout, connection).await?.map_err(|_| Closed)
    }

    /// Waits until the connection is to end although its peer has not ended it: because its first
    /// request did not come, because none has come for long, or because it is old.
    async fn expired(
        &self,
        protocol: Protocol,
        peer: SocketAddr,
        patience: Pin<&mut Sleep>,
        begun: &AtomicU64,
    ) {
        // The port stands in for randomness: clients that came together do not all leave together.
        let percent = 100 - u32::from(peer.port() % 11);
        let old = sleep(self.limits.max_connection_age / 100 * percent);
        let idle = async {
            // A client on HTTP/2 may connect long before it has something to ask.
            if protocol == Protocol::Http1 {
                patience.await;
                if begun.load(Ordering::Relaxed) == 0 {
                    return;
                }
            }
            let mut before = None;
            while before != Some(begun.load(Ordering::Relaxed)) {
                before = Some(begun.load(Ordering::Relaxed));
                sleep(self.limits.idle_timeout).await;
            }
        };
        tokio::select! {
            () = old => {}
            () = idle => {}
        }
    }

    fn builder(&self, protocol: Protocol) -> Builder<TokioExecutor> {
        let builder = Builder::new(TokioExecutor::new());
        let mut builder = match protocol {
            Protocol::Http1 => builder.http1_only(),
            Protocol::Http2 => builder.http2_only(),
        };
        let max_header_bytes = self.limits.max_header_bytes.max(MIN_HEADER_BYTES);
        builder
            .http1()
            .timer(TokioTimer::new())
            // For hyper this includes the time in which nothing comes between two requests.
            .header_read_timeout(self.limits.idle_timeout)
            .max_headers(MAX_HEADER_FIELDS)
            .max_buf_size(max_header_bytes as usize);
        builder
            .http2()
            .timer(TokioTimer::new())
            .max_concurrent_streams(self.limits.max_streams)
            .max_header_list_size(max_header_bytes)
            .max_pending_accept_reset_streams(MAX_UNSEEN_RESETS)
            .max_local_error_reset_streams(MAX_FAULTY_STREAMS)
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_send_buf_size(MAX_SEND_BUFFER)
            .keep_alive_interval(self.limits.ping_interval)
            .keep_alive_timeout(self.limits.ping_interval / 2);
        builder
    }
}

/// The connection ended early; why does not matter to anyone.
pub(super) struct Closed;

impl From<io::Error> for Closed {
    fn from(_: io::Error) -> Self {
        Self
    }
}

impl From<tokio::time::error::Elapsed> for Closed {
    fn from(_: tokio::time::error::Elapsed) -> Self {
        Self
    }
}
