//! The accept loop of every listener, and the drain that ends it. tonic's own has no timeout for a
//! handshake, for a silent connection or for a drain, and offers only HTTP/2 under TLS.

use std::{io, net::SocketAddr, path::Path, sync::Arc, time::Duration};

use tokio::{
    sync::{AcquireError, OwnedSemaphorePermit, Semaphore},
    time::timeout,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    activity::Owner,
    connection::Connections,
    limits::Limits,
    open_connections::OpenConnections,
    peer,
    read_throttle::ReadThrottles,
    saturation::Saturation,
    socket::{Socket, THIS_MACHINE},
    tls::{FailedHandshakes, Tls},
    workers::Workers,
};
use crate::{
    config::Proxies,
    request::Handler,
    telemetry::{ListenerKind, Metrics},
};

/// Pause after the system could not accept a connection, for example because file descriptors ran
/// out. Without a pause the loop would spin.
const REST: Duration = Duration::from_millis(50);

/// Error of binding the address of a listener.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address} for {what}; {}", remedy(.source, .flag))]
pub struct ListenError {
    /// The requested address, or the path of a Unix socket.
    pub address: String,
    /// Purpose of the listener, such as `gRPC`.
    pub what: &'static str,
    /// Setting that names the address.
    pub flag: &'static str,
    /// Error of the operating system.
    #[source]
    pub source: io::Error,
}

/// A bound socket, not yet accepting.
pub(crate) struct Listener {
    pub(super) socket: Socket,
    /// Its address; for a Unix socket, that of this machine.
    pub(crate) address: SocketAddr,
    kind: ListenerKind,
}

impl Listener {
    /// Binds `address` for a listener of this kind. Port 0 binds any free port.
    pub(crate) async fn bind(address: SocketAddr, kind: ListenerKind) -> Result<Self, ListenError> {
        // A socket belongs to a runtime, so it is made within one.
        let bound = async { Socket::tcp(address) };
        match bound.await {
            Ok((socket, address)) => Ok(Self { socket, address, kind }),
            Err(source) => Err(ListenError::new(address.to_string(), kind, source)),
        }
    }

    /// Binds a Unix socket for a listener of this kind.
    pub(crate) fn bind_unix(path: &Path, kind: ListenerKind) -> Result<Self, ListenError> {
        match Socket::unix(path) {
            Ok(socket) => Ok(Self { socket, address: THIS_MACHINE, kind }),
            Err(source) => Err(ListenError::new(path.display().to_string(), kind, source)),
        }
    }
}

impl ListenError {
    const fn new(address: String, kind: ListenerKind, source: io::Error) -> Self {
        let (what, flag) = match kind {
            ListenerKind::Grpc => ("gRPC", "--grpc-addr"),
            ListenerKind::Http => ("HTTP", "--http-addr"),
            ListenerKind::Control => ("administration", "--control-addr"),
            ListenerKind::Probes => ("metrics and probes", "--probe-addr"),
        };
        Self { address, what, flag, source }
    }
}

/// What to change if the address cannot be bound.
fn remedy(source: &io::Error, flag: &str) -> String {
    match source.kind() {
        io::ErrorKind::AddrInUse => format!(
            "another process, perhaps another node, listens there: stop it, or name another \
             address with {flag}"
        ),
        _ => format!("the address is that of {flag}"),
    }
}

/// Everything that runs until a drain: listeners, their connections, and background tasks.
pub(crate) struct Server {
    limits: Limits,
    pub(crate) metrics: Arc<Metrics>,
    workers: Workers,
    throttles: ReadThrottles,
    saturation: Arc<Saturation>,
    proxies: Arc<Proxies>,
    /// Cancelled when the listeners should close and connections should finish.
    pub(crate) stop: CancellationToken,
    /// Cancelled when the remaining connections should be cut.
    cut: CancellationToken,
    pub(crate) tasks: TaskTracker,
}

impl Server {
    /// A server without a listener. `saturation` learns when one has no room.
    pub(crate) fn new(
        limits: Limits,
        metrics: Arc<Metrics>,
        workers: Workers,
        saturation: Arc<Saturation>,
    ) -> Self {
        let (stop, cut) = (CancellationToken::new(), CancellationToken::new());
        let throttles = ReadThrottles::new(limits.max_failures_per_second);
        let (proxies, tasks) = (Arc::default(), TaskTracker::new());
        Self { limits, metrics, workers, throttles, saturation, proxies, stop, cut, tasks }
    }

    /// The same server, with these proxies in front of its listeners.
    pub(crate) fn behind(mut self, proxies: Proxies) -> Self {
        self.proxies = Arc::new(proxies);
        self
    }

    /// Serves `service` on `listener`, over TLS if `tls` is given.
    pub(crate) fn serve(&self, listener: Listener, service: impl Handler, tls: Option<Arc<Tls>>) {
        let limits = self.limits.clone();
        let (throttles, stop) = (self.throttles.clone(), self.stop.clone());
        let (proxies, proxy_headers) = (Arc::clone(&self.proxies), Arc::default());
        let handshakes = FailedHandshakes::new(listener.kind, Arc::clone(&self.metrics));
        let handshakes = Arc::new(handshakes);
        let connections = Connections {
            service,
            tls,
            handshakes,
            limits,
            throttles,
            proxies,
            proxy_headers,
            stop,
        };
        let (tasks, cut) = (self.tasks.clone(), self.cut.clone());
        let (metrics, workers) = (Arc::clone(&self.metrics), self.workers.clone());
        let saturation = Arc::clone(&self.saturation);
        let acceptor = Acceptor { connections, metrics, workers, saturation, tasks, cut };
        self.tasks.spawn(accept(listener, acceptor));
    }

    /// Runs a background task, which is cancelled when connections are cut.
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let cut = self.cut.clone();
        self.tasks.spawn(async move { cut.run_until_cancelled(task).await });
    }

    /// Gives load balancers time to notice that health reports `NOT_SERVING`.
    pub(crate) async fn pre_stop(&self) {
        tokio::time::sleep(self.limits.pre_stop).await;
    }

    /// Closes the listeners, lets open requests finish, and cuts the remaining connections at the
    /// deadline. True if no connection was cut.
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
    /// Ends all tasks, for a server that is dropped without a drain, for example because the node
    /// could not start.
    fn drop(&mut self) {
        self.stop.cancel();
        self.cut.cancel();
    }
}

/// State of an accept loop.
struct Acceptor<H> {
    connections: Connections<H>,
    metrics: Arc<Metrics>,
    workers: Workers,
    saturation: Arc<Saturation>,
    tasks: TaskTracker,
    cut: CancellationToken,
}

/// Accepts connections until the node stops; each is served in a task of its own.
async fn accept(listener: Listener, acceptor: Acceptor<impl Handler>) {
    let Acceptor { connections, metrics, workers, saturation, tasks, cut } = acceptor;
    let permits = Arc::new(Semaphore::new(connections.limits.max_connections as usize));
    let limits = &connections.limits;
    let table = OpenConnections::new(limits, listener.kind, Arc::clone(&metrics), saturation);
    let mut is_failing = false;
    loop {
        match connections.stop.run_until_cancelled(listener.socket.accept()).await {
            None => return,
            Some(Ok(accepted)) => {
                is_failing = false;
                let room = make_room(&permits, &table);
                let Some(permit) = connections.stop.run_until_cancelled(room).await else { return };
                table.keep_reserve(permits.available_permits());
                let open = metrics.connected(listener.kind);
                let entry = table.enter(peer::source_of(accepted.address().ip()));
                let (connection, throttles) = (connections.clone(), connections.throttles.clone());
                let cut = cut.clone();
                let (worker, slot) = workers.next();
                let connection = async move {
                    // Boxed, because each wrapper below would store it twice.
                    let connection = Box::pin(connection.serve(accepted, &entry));
                    let connection = entry.activity.until_evicted(connection);
                    // The failure of a connection concerns only its peer.
                    let _ = cut.run_until_cancelled(connection).await;
                    if entry.activity.is_leaving()
                        && let Owner::Source(source) = entry.activity.owner()
                    {
                        throttles.evicted(source);
                    }
                    drop((open, permit, slot, entry));
                };
                tasks.spawn_on(connection, &worker);
            }
            // The peer closed the connection while it was in the backlog. With a pause here, a peer
            // that does so on purpose could slow every other one.
            Some(Err(error)) if is_of_the_peer(&error) => {}
            Some(Err(error)) => {
                // Logged once, not twenty times a second while the problem lasts.
                if !is_failing {
                    tracing::warn!(%error, "cannot accept connections; retrying");
                }
                is_failing = true;
                tokio::time::sleep(REST).await;
            }
        }
    }
}

/// Takes a permit for a connection. Without a free one, another connection makes way. If none may,
/// the new one waits, and all others in the backlog, until one ends or may make way.
async fn make_room(
    permits: &Arc<Semaphore>,
    table: &OpenConnections,
) -> Result<OwnedSemaphorePermit, AcquireError> {
    if let Ok(permit) = Arc::clone(permits).try_acquire_owned() {
        return Ok(permit);
    }
    loop {
        table.make_room();
        if let Ok(permit) = timeout(REST, Arc::clone(permits).acquire_owned()).await {
            return permit;
        }
    }
}

fn is_of_the_peer(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}
