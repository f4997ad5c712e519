//! The probe listener: metrics and probes for operators. It is separate from the listeners for
//! callers and by default on the loopback address, without TLS and without authentication.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use axum::{
    Router,
    extract::State,
    http::{HeaderMap, StatusCode, header},
    response::IntoResponse,
    routing::get,
};

use super::StartError;
use crate::{
    net::{Limits, Listener, MAX_PROBE_CONNECTIONS, Saturation, Server, Workers},
    telemetry::{Exposition, ListenerKind, Metrics},
};

/// How long a database counts as available after it answered. It is checked every second, and one
/// slow check is no reason to send all callers elsewhere.
const LATELY: Duration = Duration::from_secs(5);

/// How long a lease counts as held after it was lost, because it is usually renewed in a moment.
const LATELY_LEASED: Duration = Duration::from_secs(2);

/// Default address of the listener, and its fallback if the port is taken.
const DEFAULT: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 9_090);
const ANY_PORT: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// The probe listener. It serves until it is dropped, after the drain of the other listeners.
pub(super) struct Probes {
    pub(super) address: SocketAddr,
    _server: Server,
}

impl Probes {
    /// Binds the listener and starts to serve.
    pub(super) async fn start(
        asked: Option<SocketAddr>,
        metrics: &Arc<Metrics>,
        readiness: &Arc<Readiness>,
    ) -> Result<Self, StartError> {
        let listener = match asked {
            Some(address) => Listener::bind(address, ListenerKind::Probes).await?,
            // A second node on the same machine is valid, and its operator requested no port.
            None => match Listener::bind(DEFAULT, ListenerKind::Probes).await {
                Ok(listener) => listener,
                Err(_) => Listener::bind(ANY_PORT, ListenerKind::Probes).await?,
            },
        };
        let limits = Limits { max_connections: MAX_PROBE_CONNECTIONS, ..Limits::default() };
        let server = Server::new(limits, Arc::clone(metrics), Workers::default(), Arc::default());
        let address = listener.address;
        server.serve(listener, router(Arc::clone(metrics), Arc::clone(readiness)), None);
        Ok(Self { address, _server: server })
    }
}

fn router(metrics: Arc<Metrics>, readiness: Arc<Readiness>) -> Router {
    Router::new()
        // Checks nothing: a restart does not help a node whose database is down.
        .route("/livez", get(async || "alive\n"))
        .route("/readyz", get(readyz).with_state(readiness))
        .route("/metrics", get(scrape).with_state(metrics))
}

async fn readyz(State(readiness): State<Arc<Readiness>>) -> (StatusCode, &'static str) {
    match readiness.check() {
        Ok(()) => (StatusCode::OK, "ready\n"),
        Err(why) => (StatusCode::SERVICE_UNAVAILABLE, why),
    }
}

async fn scrape(State(metrics): State<Arc<Metrics>>, headers: HeaderMap) -> impl IntoResponse {
    let page = metrics.render().map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)?;
    let accept = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok());
    let exposition = Exposition::accepted(accept);
    let headers = [(header::CONTENT_TYPE, exposition.content_type())];
    Ok::<_, StatusCode>((headers, exposition.of(page)))
}

/// Whether the node is ready for requests.
pub(super) struct Readiness {
    serving: AtomicBool,
    /// All of them must be met.
    dependencies: Vec<Dependency>,
    /// Whether the listeners for callers have room.
    pub(super) saturation: Arc<Saturation>,
}

/// A dependency of the node.
pub(super) struct Dependency {
    /// When it was last met.
    seen: Mutex<Option<Instant>>,
    /// How long it counts as met after that.
    lately: Duration,
    /// Response of `/readyz` while it is not met.
    why: &'static str,
}

impl Dependency {
    /// A store, which is checked every second.
    pub(super) const fn store() -> Self {
        Self { seen: Mutex::new(None), lately: LATELY, why: "the database does not answer\n" }
    }

    /// The lease, without which the node may not answer.
    pub(super) const fn lease() -> Self {
        Self {
            seen: Mutex::new(None),
            lately: LATELY_LEASED,
            why: "no lease: the primary is unreachable or takes no commits, or clocks disagree\n",
        }
    }

    fn is_met(&self) -> bool {
        // Nothing under the lock panics, so it cannot be poisoned.
        let seen = *self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.is_some_and(|at| at.elapsed() < self.lately)
    }
}

impl Readiness {
    /// Not ready yet, with these dependencies.
    pub(super) fn new(dependencies: impl IntoIterator<Item = Dependency>) -> Arc<Self> {
        let dependencies = dependencies.into_iter().collect();
        let serving = AtomicBool::new(false);
        Arc::new(Self { serving, dependencies, saturation: Arc::default() })
    }

    /// Sets whether the node serves.
    pub(super) fn set_serving(&self, serving: bool) {
        self.serving.store(serving, Ordering::Relaxed);
    }

    /// Records that the dependency with this index is met now.
    pub(super) fn met(&self, dependency: usize) {
        let mut seen =
            self.dependencies[dependency].seen.lock().unwrap_or_else(PoisonError::into_inner);
        *seen = Some(Instant::now());
    }

    fn check(&self) -> Result<(), &'static str> {
        if !self.serving.load(Ordering::Relaxed) {
            return Err("starting or draining\n");
        }
        if self.saturation.is_full() {
            return Err("a listener is full: it turned a caller away within the last seconds\n");
        }
        self.dependencies
            .iter()
            .find(|dependency| !dependency.is_met())
            .map_or(Ok(()), |dependency| Err(dependency.why))
    }
}
