//! The accept loop of both listeners, and the drain that ends it. tonic's own has no deadline for a
//! handshake, for a silent connection or for a drain, and offers HTTP/2 alone under TLS.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use tokio::{net::TcpListener, sync::Semaphore, time::timeout};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    connection::Connections, limits::Limits, read_throttle::ReadThrottles, tls::Tls,
    workers::Workers,
};
use crate::{
    request::Handler,
    telemetry::{ListenerKind, Metrics},
};

/// How long to rest when the system cannot give a connection, for one because descriptors ran
/// out: without a rest the loop would spin.
const REST: Duration = Duration::from_millis(50);

/// An address that cannot be listened on.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address} for {what}")]
pub struct ListenError {
    /// The address that was asked for.
    pub address: SocketAddr,
    /// What was to be served there.
    pub what: &'static str,
    /// What the system says.
    #[source]
    pub source: io::Error,
}

/// A bound socket.
pub(crate) struct Listener {
    pub(super) socket: TcpListener,
    pub(crate) address: SocketAddr,
    kind: ListenerKind,
}

impl Listener {
    /// Binds an address, to serve this there.
    pub(crate) async fn bind(address: SocketAddr, kind: ListenerKind) -> Result<Self, ListenError> {
        let bound = async {
            let socket = TcpListener::bind(address).await?;
            let address = socket.local_addr()?;
            Ok(Self { socket, address, kind })
        };
        let what = match kind {
            ListenerKind::Grpc => "gRPC",
            ListenerKind::Http => "HTTP",
            ListenerKind::Probes => "metrics and probes",
        };
        bound.await.map_err(|source| ListenError { address, what, source })
    }
}

/// All that is served until a drain: listeners, their connections, and tasks beside them.
pub(crate) struct Server {
    limits: Limits,
    pub(crate) metrics: Arc<Metrics>,
    workers: Workers,
    throttles: ReadThrottles,
    /// Cancelled when the listeners shall close and connections finish.
    pub(crate) stop: CancellationToken,
    /// Cancelled when connections shall be cut.
    cut: CancellationToken,
    pub(crate) tasks: TaskTracker,
}

impl Server {
    pub(crate) fn new(limits: Limits, metrics: Arc<Metrics>, workers: Workers) -> Self {
        let (stop, cut) = (CancellationToken::new(), CancellationToken::new());
        let throttles = ReadThrottles::new(limits.max_failures_per_second);
        Self { limits, metrics, workers, throttles, stop, cut, tasks: TaskTracker::new() }
    }

    /// Serves a service on a listener, with TLS if there is any.
    pub(crate) fn serve(&self, listener: Listener, service: impl Handler, tls: Option<Arc<Tls>>) {
        let limits = self.limits.clone();
        let (throttles, stop) = (self.throttles.clone(), self.stop.clone());
        let connections = Connections { service, tls, limits, throttles, stop };
        let (tasks, cut) = (self.tasks.clone(), self.cut.clone());
        let (metrics, workers) = (Arc::clone(&self.metrics), self.workers.clone());
        let acceptor = Acceptor { connections, metrics, workers, tasks, cut };
        self.tasks.spawn(accept(listener, acceptor));
    }

    /// Runs a task beside the listeners; it ends where it is when connections are cut.
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let cut = self.cut.clone();
        self.tasks.spawn(async move { cut.run_until_cancelled(task).await });
    }

    /// Gives balancers time to notice that health says `NOT_SERVING`.
    pub(crate) async fn pre_stop(&self) {
        tokio::time::sleep(self.limits.pre_stop).await;
    }

    /// Closes the listeners, lets open requests finish, and cuts what is left at the deadline. True
    /// if nothing was cut.
    pub(crate) async fn drain(&self) -> bool {
        self.stop.cancel();
        self.tasks.close();
        let clean = timeout(self.limits.drain_timeout, self.tasks.wait()).await.is_ok();
        self.cut.cancel();
        self.tasks.wait().await;
        clean
    }
}

impl Drop for Server {
    /// What is dropped, for one because a node could not start, leaves no task behind.
    fn drop(&mut self) {
        self.stop.cancel();
        self.cut.cancel();
    }
}

/// What an accept loop works with.
struct Acceptor<H> {
    connections: Connections<H>,
    metrics: Arc<Metrics>,
    workers: Workers,
    tasks: TaskTracker,
    cut: CancellationToken,
}

/// Accepts connections until the node stops; each is served in a task of its own.
async fn accept(listener: Listener, acceptor: Acceptor<impl Handler>) {
    let Acceptor { connections, metrics, workers, tasks, cut } = acceptor;
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
                let open = metrics.connected(listener.kind);
                // It leaves this runtime and enters that of its thread.
                let Ok(stream) = stream.into_std() else { continue };
                let (connection, cut) = (connections.clone().serve(stream, peer), cut.clone());
                let (worker, slot) = workers.next();
                let connection = async move {
                    // A failing connection is its peer's concern: there is nobody to tell.
                    let _ = cut.run_until_cancelled(connection).await;
                    drop((open, place, slot));
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
