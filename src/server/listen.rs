//! The accept loop of both listeners. tonic's own has no deadline for a handshake, for a silent
//! connection or for a drain, and offers HTTP/2 alone under TLS.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto::Builder,
    service::TowerToHyperService,
};
use rustls::ServerConfig;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    time::timeout,
};
use tokio_rustls::TlsAcceptor;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::StartError;

/// How long to rest when the system cannot give a connection, for one because descriptors ran
/// out: without a rest the loop would spin.
const REST: Duration = Duration::from_millis(50);

/// The most requests at once on one HTTP/2 connection, and what its headers may hold.
const MAX_STREAMS: u32 = 256;
const MAX_HEADER_BYTES: u32 = 16 * 1024;

/// A peer that does not answer a ping for this long is gone.
const PING_EVERY: Duration = Duration::from_secs(20);
const PING_TIMEOUT: Duration = Duration::from_secs(10);

/// The limits of a listener and of its requests.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Most open connections.
    pub max_connections: u32,
    /// For the TLS handshake and the first bytes of a connection.
    pub handshake_timeout: Duration,
    /// For a whole request.
    pub request_timeout: Duration,
    /// For the body of an HTTP request to arrive.
    pub body_timeout: Duration,
    /// The largest body of an HTTP request.
    pub max_body_bytes: usize,
    /// How long to go on serving after health says `NOT_SERVING`.
    pub pre_stop: Duration,
    /// How long open requests may take to finish at shutdown.
    pub drain_timeout: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_connections: 1_024,
            handshake_timeout: Duration::from_secs(5),
            request_timeout: Duration::from_secs(5),
            body_timeout: Duration::from_secs(10),
            max_body_bytes: 16 * 1024,
            pre_stop: Duration::ZERO,
            drain_timeout: Duration::from_secs(20),
        }
    }
}

/// A bound socket.
pub(super) struct Listener {
    pub(super) socket: TcpListener,
    pub(super) address: SocketAddr,
}

impl Listener {
    /// Binds an address; `what` is what will be served there.
    pub(super) async fn bind(address: SocketAddr, what: &'static str) -> Result<Self, StartError> {
        let bound = async {
            let socket = TcpListener::bind(address).await?;
            let address = socket.local_addr()?;
            Ok(Self { socket, address })
        };
        bound.await.map_err(|source| StartError::Listen { address, what, source })
    }
}

/// All that is served until a drain: listeners, their connections, and tasks beside them.
pub(super) struct Serving {
    limits: Limits,
    /// Cancelled when the listeners shall close and connections finish.
    pub(super) stop: CancellationToken,
    /// Cancelled when connections shall be cut.
    cut: CancellationToken,
    pub(super) tasks: TaskTracker,
}

impl Serving {
    pub(super) fn new(limits: Limits) -> Self {
        let (stop, cut) = (CancellationToken::new(), CancellationToken::new());
        Self { limits, stop, cut, tasks: TaskTracker::new() }
    }

    /// Serves a router on a listener, with TLS if there is any.
    pub(super) fn serve(
        &self,
        listener: Listener,
        router: axum::Router,
        tls: Option<Arc<ServerConfig>>,
    ) {
        let connections = Connections {
            router,
            tls: tls.map(Into::into),
            limits: self.limits.clone(),
            stop: self.stop.clone(),
            cut: self.cut.clone(),
            tasks: self.tasks.clone(),
        };
        self.tasks.spawn(connections.accept(listener));
    }

    /// Gives balancers time to notice, closes the listeners, lets open requests finish, and cuts
    /// what is left at the deadline. True if nothing was cut.
    pub(super) async fn drain(&self) -> bool {
        tokio::time::sleep(self.limits.pre_stop).await;
        self.stop.cancel();
        self.tasks.close();
        let clean = timeout(self.limits.drain_timeout, self.tasks.wait()).await.is_ok();
        self.cut.cancel();
        self.tasks.wait().await;
        clean
    }
}

impl Drop for Serving {
    /// What is dropped, for one because a node could not start, leaves no task behind.
    fn drop(&mut self) {
        self.stop.cancel();
        self.cut.cancel();
    }
}

/// What the connections of one listener share.
#[derive(Clone)]
struct Connections {
    router: axum::Router,
    tls: Option<TlsAcceptor>,
    limits: Limits,
    stop: CancellationToken,
    cut: CancellationToken,
    tasks: TaskTracker,
}

impl Connections {
    /// Accepts connections until the node stops; each is served in a task of its own.
    async fn accept(self, listener: Listener) {
        let places = Arc::new(Semaphore::new(self.limits.max_connections as usize));
        loop {
            // A place comes first: what has none waits in the backlog and costs no descriptor.
            let next = async {
                let place = Arc::clone(&places).acquire_owned().await;
                (place, listener.socket.accept().await)
            };
            match self.stop.run_until_cancelled(next).await {
                None => return,
                Some((place, Ok((stream, _)))) => {
                    let (connections, cut) = (self.clone(), self.cut.clone());
                    self.tasks.spawn(async move {
                        // A failing connection is its peer's concern: there is nobody to tell.
                        let _ = cut.run_until_cancelled(connections.serve(stream)).await;
                        drop(place);
                    });
                }
                Some((_, Err(error))) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(REST).await;
                }
            }
        }
    }

    async fn serve(self, stream: TcpStream) -> Result<(), Cut> {
        stream.set_nodelay(true)?;
        let patience = self.limits.handshake_timeout;
        let Some(tls) = &self.tls else {
            // The protocol is found out from the first bytes, for which hyper waits without end.
            timeout(patience, self.first_bytes(&stream)).await??;
            return self.converse(Builder::new(TokioExecutor::new()), stream).await;
        };
        let stream = timeout(patience, tls.accept(stream)).await??;
        // Under TLS the protocol was agreed on, so that hyper's own deadlines begin at once.
        let builder = Builder::new(TokioExecutor::new());
        let is_h2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
        let builder = if is_h2 { builder.http2_only() } else { builder.http1_only() };
        self.converse(builder, stream).await
    }

    async fn first_bytes(&self, stream: &TcpStream) -> io::Result<()> {
        match self.stop.run_until_cancelled(stream.readable()).await {
            Some(readable) => readable,
            None => Err(io::ErrorKind::ConnectionAborted.into()),
        }
    }

    async fn converse<S>(self, mut builder: Builder<TokioExecutor>, stream: S) -> Result<(), Cut>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        builder
            .http1()
            .timer(TokioTimer::new())
            .header_read_timeout(self.limits.handshake_timeout)
            .max_buf_size(4 * MAX_HEADER_BYTES as usize);
        builder
            .http2()
            .timer(TokioTimer::new())
            .max_concurrent_streams(MAX_STREAMS)
            .max_header_list_size(MAX_HEADER_BYTES)
            .keep_alive_interval(PING_EVERY)
            .keep_alive_timeout(PING_TIMEOUT);
        let service = TowerToHyperService::new(self.router);
        let mut connection =
            std::pin::pin!(builder.serve_connection(TokioIo::new(stream), service));
        tokio::select! {
            ended = connection.as_mut() => return ended.map_err(|_| Cut),
            () = self.stop.cancelled() => connection.as_mut().graceful_shutdown(),
        }
        connection.await.map_err(|_| Cut)
    }
}

/// The connection ended early; why does not matter to anyone.
struct Cut;

impl From<io::Error> for Cut {
    fn from(_: io::Error) -> Self {
        Self
    }
}

impl From<tokio::time::error::Elapsed> for Cut {
    fn from(_: tokio::time::error::Elapsed) -> Self {
        Self
    }
}
