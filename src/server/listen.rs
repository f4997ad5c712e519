//! The accept loop of both listeners, and the drain that ends it. tonic's own has no deadline for a
//! handshake, for a silent connection or for a drain, and offers HTTP/2 alone under TLS.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use tokio::{net::TcpListener, sync::Semaphore, time::timeout};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{StartError, brake::Brakes, connection, tls::Tls, workers::Workers};
use crate::{
    config::{Connections, Requests, Shutdown},
    request::Handler,
    telemetry::{Face, Metrics},
};

/// How long to rest when the system cannot give a connection, for one because descriptors ran
/// out: without a rest the loop would spin.
const REST: Duration = Duration::from_millis(50);

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

/// A bound socket.
pub(super) struct Listener {
    pub(super) socket: TcpListener,
    pub(super) address: SocketAddr,
    face: Face,
}

impl Listener {
    /// Binds an address, to serve this there.
    pub(super) async fn bind(address: SocketAddr, face: Face) -> Result<Self, StartError> {
        let bound = async {
            let socket = TcpListener::bind(address).await?;
            let address = socket.local_addr()?;
            Ok(Self { socket, address, face })
        };
        let what = match face {
            Face::Grpc => "gRPC",
            Face::Http => "HTTP",
            Face::Admin => "metrics and probes",
        };
        bound.await.map_err(|source| StartError::Listen { address, what, source })
    }
}

/// All that is served until a drain: listeners, their connections, and tasks beside them.
pub(super) struct Serving {
    limits: Limits,
    pub(super) metrics: Arc<Metrics>,
    workers: Workers,
    brakes: Brakes,
    /// Cancelled when the listeners shall close and connections finish.
    pub(super) stop: CancellationToken,
    /// Cancelled when connections shall be cut.
    cut: CancellationToken,
    pub(super) tasks: TaskTracker,
}

impl Serving {
    pub(super) fn new(limits: Limits, metrics: Arc<Metrics>, workers: Workers) -> Self {
        let (stop, cut) = (CancellationToken::new(), CancellationToken::new());
        let brakes = Brakes::new(limits.max_failures_per_second);
        Self { limits, metrics, workers, brakes, stop, cut, tasks: TaskTracker::new() }
    }

    /// Serves a service on a listener, with TLS if there is any.
    pub(super) fn serve(&self, listener: Listener, service: impl Handler, tls: Option<Arc<Tls>>) {
        let limits = self.limits.clone();
        let (brakes, stop) = (self.brakes.clone(), self.stop.clone());
        let connections = connection::Connections { service, tls, limits, brakes, stop };
        let (tasks, cut) = (self.tasks.clone(), self.cut.clone());
        let (metrics, workers) = (Arc::clone(&self.metrics), self.workers.clone());
        let served = Served { connections, metrics, workers, tasks, cut };
        self.tasks.spawn(accept(listener, served));
    }

    /// Runs a task beside the listeners; it ends where it is when connections are cut.
    pub(super) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let cut = self.cut.clone();
        self.tasks.spawn(async move { cut.run_until_cancelled(task).await });
    }

    /// Gives balancers time to notice that health says `NOT_SERVING`.
    pub(super) async fn pre_stop(&self) {
        tokio::time::sleep(self.limits.pre_stop).await;
    }

    /// Closes the listeners, lets open requests finish, and cuts what is left at the deadline. True
    /// if nothing was cut.
    pub(super) async fn drain(&self) -> bool {
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

/// What an accept loop works with.
struct Served<H> {
    connections: connection::Connections<H>,
    metrics: Arc<Metrics>,
    workers: Workers,
    tasks: TaskTracker,
    cut: CancellationToken,
}

/// Accepts connections until the node stops; each is served in a task of its own.
async fn accept(listener: Listener, served: Served<impl Handler>) {
    let Served { connections, metrics, workers, tasks, cut } = served;
    let places = Arc::new(Semaphore::new(connections.limits.max_connections as usize));
    let mut is_failing = false;
    loop {
        // A place comes first: what has none waits in the backlog and costs no descriptor.
        let next = async {
            let place = Arc::clone(&places).acquire_owned().await;
            (place, listener.socket.accept().await)
        };
        match connections.stop.run_until_cancelled(next).await {
            None => return,
            Some((place, Ok((stream, peer)))) => {
                is_failing = false;
                let open = metrics.connected(listener.face);
                // It leaves this runtime and enters that of its thread.
                let Ok(stream) = stream.into_std() else { continue };
                let (connection, cut) = (connections.clone().serve(stream, peer), cut.clone());
                let (worker, seat) = workers.next();
                let connection = async move {
                    // A failing connection is its peer's concern: there is nobody to tell.
                    let _ = cut.run_until_cancelled(connection).await;
                    drop((open, place, seat));
                };
                tasks.spawn_on(connection, &worker);
            }
            // A peer that has gone already takes its place in the backlog along. Resting for it
            // would let whoever sends such peers slow everybody.
            Some((_, Err(error))) if is_of_the_peer(&error) => {}
            Some((_, Err(error))) => {
                // Once, and not twenty times a second for as long as it lasts.
                if !is_failing {
                    tracing::warn!(%error, "connections cannot be accepted for now");
                }
                is_failing = true;
                tokio::time::sleep(REST).await;
            }
        }
    }
}

fn is_of_the_peer(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}
