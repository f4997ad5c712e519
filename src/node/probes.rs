//! What is for operators and not for callers: metrics and probes. It has a listener of its own, by
//! default on this machine alone, without TLS and without authentication.

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
    http::{StatusCode, header},
    response::IntoResponse,
    routing::get,
};

use super::StartError;
use crate::{
    net::{Limits, Listener, MAX_PROBE_CONNECTIONS, Server, Workers},
    telemetry::{CONTENT_TYPE, ListenerKind, Metrics},
};

/// A database that answered within this time is there. It is looked at every second, and one slow
/// look is no reason to send everybody elsewhere.
const LATELY: Duration = Duration::from_secs(5);

/// A lease that was held within this time is one that is had again in a moment.
const LATELY_LEASED: Duration = Duration::from_secs(2);

/// Where it is if nobody says where, and if somebody else is there already.
const DEFAULT: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 9_090);
const ANY_PORT: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// The listener. It serves until it is dropped, which is after the drain of those for callers.
pub(super) struct Probes {
    pub(super) address: SocketAddr,
    _server: Server,
}

impl Probes {
    /// Begins to serve.
    pub(super) async fn start(
        asked: Option<SocketAddr>,
        metrics: &Arc<Metrics>,
        readiness: &Arc<Readiness>,
    ) -> Result<Self, StartError> {
        let listener = match asked {
            Some(address) => Listener::bind(address, ListenerKind::Probes).await?,
            // A second node on a machine is no mistake, and its operator did not ask for a port.
            None => match Listener::bind(DEFAULT, ListenerKind::Probes).await {
                Ok(listener) => listener,
                Err(_) => Listener::bind(ANY_PORT, ListenerKind::Probes).await?,
            },
        };
        let limits = Limits { max_connections: MAX_PROBE_CONNECTIONS, ..Limits::default() };
        let server = Server::new(limits, Arc::clone(metrics), Workers::default());
        let address = listener.address;
        server.serve(listener, router(Arc::clone(metrics), Arc::clone(readiness)), None);
        Ok(Self { address, _server: server })
    }
}

fn router(metrics: Arc<Metrics>, readiness: Arc<Readiness>) -> Router {
    Router::new()
        // Nothing is asked: a node whose database is away is no better after a restart.
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

async fn scrape(State(metrics): State<Arc<Metrics>>) -> impl IntoResponse {
    let page = metrics.render().map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)?;
    Ok::<_, StatusCode>(([(header::CONTENT_TYPE, CONTENT_TYPE)], page))
}

/// Whether requests are welcome.
pub(super) struct Readiness {
    serving: AtomicBool,
    /// What the node depends on.
    dependencies: Vec<Dependency>,
}

/// Something that the node depends on.
pub(super) struct Dependency {
    /// When it was well last.
    seen: Mutex<Option<Instant>>,
    /// How long ago that may be.
    lately: Duration,
    /// What to say where it is not.
    why: &'static str,
}

impl Dependency {
    /// A store that is looked at every second.
    pub(super) const fn store() -> Self {
        Self { seen: Mutex::new(None), lately: LATELY, why: "the database does not answer\n" }
    }

    /// The lease by which the node may answer.
    pub(super) const fn lease() -> Self {
        Self {
            seen: Mutex::new(None),
            lately: LATELY_LEASED,
            why: "no lease: the primary is not reached, or takes no commits, or clocks disagree\n",
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
        Arc::new(Self { serving: AtomicBool::new(false), dependencies })
    }

    /// Says whether the node serves.
    pub(super) fn set_serving(&self, serving: bool) {
        self.serving.store(serving, Ordering::Relaxed);
    }

    /// Notes that a dependency is met now.
    pub(super) fn met(&self, dependency: usize) {
        let mut seen =
            self.dependencies[dependency].seen.lock().unwrap_or_else(PoisonError::into_inner);
        *seen = Some(Instant::now());
    }

    fn check(&self) -> Result<(), &'static str> {
        if !self.serving.load(Ordering::Relaxed) {
            return Err("starting or draining\n");
        }
        self.dependencies
            .iter()
            .find(|dependency| !dependency.is_met())
            .map_or(Ok(()), |dependency| Err(dependency.why))
    }
}
