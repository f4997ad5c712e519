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

use super::{
    StartError,
    listen::{Limits, Listener, Serving},
    workers::Workers,
};
use crate::telemetry::{CONTENT_TYPE, Face, Metrics};

/// Most open connections: a scraper or two, the probes, a person.
pub(super) const MAX_CONNECTIONS: u32 = 16;

/// A database that answered within this time is there. It is looked at every second, and one slow
/// look is no reason to send everybody elsewhere.
const LATELY: Duration = Duration::from_secs(5);

/// Where it is if nobody says where, and if somebody else is there already.
const DEFAULT: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 9_090);
const ANY_PORT: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// The listener. It serves until it is dropped, which is after the drain of those for callers.
pub(super) struct Admin {
    pub(super) address: SocketAddr,
    _serving: Serving,
}

impl Admin {
    /// Begins to serve.
    pub(super) async fn start(
        asked: Option<SocketAddr>,
        metrics: &Arc<Metrics>,
        readiness: &Arc<Readiness>,
    ) -> Result<Self, StartError> {
        let listener = match asked {
            Some(address) => Listener::bind(address, Face::Admin).await?,
            // A second node on a machine is no mistake, and its operator did not ask for a port.
            None => match Listener::bind(DEFAULT, Face::Admin).await {
                Ok(listener) => listener,
                Err(_) => Listener::bind(ANY_PORT, Face::Admin).await?,
            },
        };
        let limits = Limits { max_connections: MAX_CONNECTIONS, ..Limits::default() };
        let serving = Serving::new(limits, Arc::clone(metrics), Workers::default());
        let address = listener.address;
        serving.serve(listener, router(Arc::clone(metrics), Arc::clone(readiness)), None);
        Ok(Self { address, _serving: serving })
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
    /// When each store answered last.
    answered: Vec<Mutex<Option<Instant>>>,
}

impl Readiness {
    /// Not ready yet, before so many stores.
    pub(super) fn new(stores: usize) -> Arc<Self> {
        let answered = (0..stores).map(|_| Mutex::default()).collect();
        Arc::new(Self { serving: AtomicBool::new(false), answered })
    }

    /// Says whether the node serves. When it begins, its stores have just answered.
    pub(super) fn set_serving(&self, serving: bool) {
        (0..self.answered.len()).for_each(|store| self.answered(store));
        self.serving.store(serving, Ordering::Relaxed);
    }

    /// Notes that a store answered now.
    pub(super) fn answered(&self, store: usize) {
        // Nothing under the lock panics, so it cannot be poisoned.
        *self.answered[store].lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }

    fn check(&self) -> Result<(), &'static str> {
        if !self.serving.load(Ordering::Relaxed) {
            return Err("starting or draining\n");
        }
        let lately = |answered: &Mutex<Option<Instant>>| {
            let answered = *answered.lock().unwrap_or_else(PoisonError::into_inner);
            answered.is_some_and(|at| at.elapsed() < LATELY)
        };
        if self.answered.iter().all(lately) {
            Ok(())
        } else {
            Err("the database does not answer\n")
        }
    }
}
