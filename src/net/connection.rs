//! One connection, from its first byte to its last: TLS, protocol detection, and a limit for
//! everything that a peer could make endless or large.

use std::{
    convert::Infallible,
    io::{self, Cursor},
    net::IpAddr,
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use http::Request;
use hyper::{body::Incoming, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite},
    net::{TcpStream, UnixStream},
    time::{Sleep, sleep, timeout},
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use tokio_util::sync::CancellationToken;

use super::{
    control_frames::MeteredReader,
    detect::{self, Protocol},
    hyper_limits,
    limits::Limits,
    open_connections::{Entry, OpenConnections},
    open_request::OpenRequest,
    peer::{self, Peer},
    proxy_header::ProxyHeaders,
    read_throttle::{ReadThrottle, ReadThrottles, ThrottledReader},
    socket::Accepted,
    tls::{FailedHandshakes, Tls},
};
use crate::{
    config::Proxies,
    request::{Handler, Overload, Throttled},
};

/// While a listener is nearly full, the timeout before the first request is a fifth, and the idle
/// timeout a sixth.
const SHORT_HANDSHAKE: u32 = 5;
const IDLE_STEPS: u32 = 6;

/// State that the connections of one listener share.
#[derive(Clone)]
pub(super) struct Connections<H> {
    pub(super) service: H,
    pub(super) tls: Option<Arc<Tls>>,
    pub(super) handshakes: Arc<FailedHandshakes>,
    pub(super) limits: Limits,
    pub(super) throttles: ReadThrottles,
    pub(super) proxies: Arc<Proxies>,
    pub(super) proxy_headers: Arc<ProxyHeaders>,
    /// Cancelled when connections should finish.
    pub(super) stop: CancellationToken,
}

impl<H: Handler> Connections<H> {
    /// Serves one connection until the peer ends it, one of its time limits is reached, or the node
    /// stops.
    pub(super) async fn serve(self, accepted: Accepted, entry: &Entry) -> Result<(), Closed> {
        // One deadline for everything before the first request. With one per step, a peer could
        // extend it step by step.
        let shorter = if entry.listener.is_nearly_full() { SHORT_HANDSHAKE } else { 1 };
        let mut patience = pin!(sleep(self.limits.handshake_timeout / shorter));
        let (stream, mut address) = match accepted {
            Accepted::Tcp(stream, address) => (stream, address),
            Accepted::Unix(stream) => {
                let stream = UnixStream::from_std(stream)?;
                let peer = Peer::of_this_machine(stream.peer_cred()?.uid());
                return self.serve_requests(stream, peer, entry, patience).await;
            }
        };
        let mut stream = TcpStream::from_std(stream)?;
        stream.set_nodelay(true)?;
        if self.proxies.announce(address.ip()) {
            let reading = self.proxy_headers.read(address, &mut stream);
            address = self.before_first_request(patience.as_mut(), reading).await?;
            entry.activity.seems_to_come_from(peer::source_of(address.ip()));
        }
        let Some(tls) = &self.tls else {
            let peer = Peer::new(address, None, &self.proxies);
            return self.serve_requests(stream, peer, entry, patience).await;
        };
        let source = peer::source_of(address.ip());
        let stream = self.shake_hands(tls, stream, source, patience.as_mut()).await?;
        let chain = stream.get_ref().1.peer_certificates();
        let certificate = chain.and_then(<[_]>::first);
        let peer = Peer::new(address, certificate, &self.proxies);
        self.serve_requests(stream, peer, entry, patience).await
    }

    /// Performs the TLS handshake. A failure is recorded, unless the peer sent nothing at all: a
    /// load balancer that only checks the port does that.
    async fn shake_hands(
        &self,
        tls: &Tls,
        stream: TcpStream,
        source: IpAddr,
        mut patience: Pin<&mut Sleep>,
    ) -> Result<TlsStream<TcpStream>, Closed> {
        let first = self.before_first_request(patience.as_mut(), stream.peek(&mut [0])).await?;
        if first == 0 {
            return Err(Closed);
        }
        let error = tokio::select! {
            shaken = TlsAcceptor::from(tls.current()).accept(stream) => match shaken {
                Ok(stream) => return Ok(stream),
                Err(error) => Some(error),
            },
            () = patience => None,
            () = self.stop.cancelled() => return Err(Closed),
        };
        if let Some(error) = &error {
            tls.note_failed_handshake(error);
        }
        self.handshakes.note(source, error.as_ref());
        Err(Closed)
    }

    /// Runs a step that comes before the first request. No request is open yet, so the step is cut
    /// when the node stops.
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
        peer: Peer,
        entry: &Entry,
        mut patience: Pin<&mut Sleep>,
    ) -> Result<(), Closed>
    where
        S: AsyncRead + AsyncWrite + Send + 'static,
    {
        entry.belongs_to(&peer);
        let throttle = self.throttles.of(peer.source(), peer.is_trusted());
        let (reader, writer) = tokio::io::split(stream);
        let mut reader = ThrottledReader::new(reader, Arc::clone(&throttle));
        let (protocol, head) =
            self.before_first_request(patience.as_mut(), detect::protocol(&mut reader)).await?;
        let begun = Arc::new(AtomicU64::new(0));
        let reader = match protocol {
            Protocol::Http1 => MeteredReader::unmetered(reader),
            Protocol::Http2 => MeteredReader::new(reader, Arc::clone(&begun)),
        };
        let stream = tokio::io::join(Cursor::new(head).chain(reader), writer);
        let known = Known { protocol, peer, throttle, begun };
        // Boxed, because it is large, and most connections of a crowd never get here.
        Box::pin(self.serve_known(stream, known, entry, patience)).await
    }

    /// Serves a connection whose protocol is known.
    async fn serve_known<S>(
        self,
        stream: S,
        Known { protocol, peer, throttle, begun }: Known,
        entry: &Entry,
        patience: Pin<&mut Sleep>,
    ) -> Result<(), Closed>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let (service, count) = (self.service.clone(), Arc::clone(&begun));
        let (listener, activity) = (Arc::clone(&entry.listener), Arc::clone(&entry.activity));
        let port = peer.address.port();
        let service = service_fn(move |mut request: Request<Incoming>| {
            count.fetch_add(1, Ordering::Relaxed);
            let source = peer.source_of_request(request.headers());
            if let Some(user) = peer.user {
                request.extensions_mut().insert(user);
            }
            let open = OpenRequest::begin(&listener, &activity, &throttle, source);
            if throttle.is_throttled(source) {
                request.extensions_mut().insert(Throttled);
            }
            if !open.is_admitted {
                request.extensions_mut().insert(Overload);
            }
            let answering = service.clone().handle(request, source);
            async move {
                let permit = open.early_permit().await;
                Ok::<_, Infallible>(open.follow(answering.await, permit))
            }
        });
        let builder = hyper_limits::builder(&self.limits, protocol);
        let mut connection = pin!(builder.serve_connection(TokioIo::new(stream), service));
        tokio::select! {
            ended = connection.as_mut() => return ended.map_err(|_| Closed),
            () = self.stop.cancelled() => {}
            () = self.expired(protocol, port, patience, &begun, &entry.listener) => {}
        }
        // An HTTP/1.1 connection without a complete header has no request to finish, and hyper
        // would wait for the rest of the header. An HTTP/2 peer gets a GOAWAY.
        if protocol == Protocol::Http1 && begun.load(Ordering::Relaxed) == 0 {
            return Err(Closed);
        }
        connection.as_mut().graceful_shutdown();
        timeout(self.limits.drain_timeout, connection).await?.map_err(|_| Closed)
    }

    /// Waits until a time limit ends the connection: its first request did not come in time, it was
    /// idle for too long, or it is too old.
    async fn expired(
        &self,
        protocol: Protocol,
        port: u16,
        patience: Pin<&mut Sleep>,
        begun: &AtomicU64,
        listener: &OpenConnections,
    ) {
        // The port serves as randomness, so that clients that connected together do not all
        // reconnect together.
        let percent = 100 - u32::from(port % 11);
        let old = sleep(self.limits.max_connection_age / 100 * percent);
        let idle = async {
            // An HTTP/2 client may connect long before its first request.
            if protocol == Protocol::Http1 {
                patience.await;
                if begun.load(Ordering::Relaxed) == 0 {
                    return;
                }
            }
            let (mut before, mut idle) = (begun.load(Ordering::Relaxed), 0);
            while idle < if listener.is_nearly_full() { 1 } else { IDLE_STEPS } {
                sleep(self.limits.idle_timeout / IDLE_STEPS).await;
                let now = begun.load(Ordering::Relaxed);
                idle = if now == before { idle + 1 } else { 0 };
                before = now;
            }
        };
        tokio::select! {
            () = old => {}
            () = idle => {}
        }
    }
}

/// What is known of a connection after its first bytes.
struct Known {
    protocol: Protocol,
    peer: Peer,
    throttle: Arc<ReadThrottle>,
    /// Number of requests that have begun. It stands still while the connection is idle.
    begun: Arc<AtomicU64>,
}

/// Error of a connection that ended early. It carries no reason, because no caller uses one.
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
