//! The pools and the change feed as one unit: all of their sessions are on the same primary.
//!
//! The pools are those of `deadpool`. The pool of sqlx 0.9 loses permits for good when connections
//! die silently (transact-rs/sqlx #4349), and cannot report how many sockets are open.

use std::{
    sync::{Arc, Mutex, OnceLock, PoisonError, RwLock},
    time::{Duration, Instant},
};

use deadpool::managed::{self, Metrics, RecycleError};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use super::{
    lease::Lease,
    route::Route,
    session::{Description, OpenError, Server, Session},
};

/// Idle time after which a session is pinged before its next use. Busy sessions are not pinged,
/// because that would cost a round trip for each statement.
const RESTED: Duration = Duration::from_secs(1);

/// Maximum age of a session.
const LONGEST_LIFE: Duration = Duration::from_mins(30);

/// Pool of the sessions of a lane.
pub(super) type Pool = managed::Pool<Opener>;

/// Maximum connections of a lane, and a semaphore with a permit for each that is not open.
pub(super) type Places = (usize, Arc<Semaphore>);

/// The pools of all lanes, with the state that they share with the change feed.
pub(super) struct Unit {
    pub(super) pools: Vec<Pool>,
    pub(super) standing: Arc<Standing>,
}

/// State shared by the sessions of a unit.
#[derive(Default)]
pub(super) struct Standing {
    server: OnceLock<Server>,
    lease: RwLock<Option<Lease>>,
    /// Cancelled when the unit must not be used any more.
    pub(super) is_over: CancellationToken,
    /// When a connection was last found dead. Connections idle since before probably died too.
    doubted_at: Mutex<Option<Instant>>,
}

impl Standing {
    /// Accepts a session if it is on the server of this unit. The first session determines the
    /// server.
    pub(super) fn accept(&self, found: &Description) -> Result<(), OpenError> {
        let server = self.server.get_or_init(|| found.server.clone());
        if *server == found.server { Ok(()) } else { Err(OpenError::OtherServer) }
    }

    /// Records that a connection was found dead.
    pub(super) fn doubt(&self) {
        *self.doubted_at.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }

    /// Whether a connection idle since `since` has probably died with another one.
    fn is_doubtful(&self, since: Instant) -> bool {
        let doubted_at = *self.doubted_at.lock().unwrap_or_else(PoisonError::into_inner);
        doubted_at.is_some_and(|doubted_at| since < doubted_at)
    }

    /// The lease that this node wrote last.
    pub(super) fn lease(&self) -> Option<Lease> {
        *self.lease.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn set_lease(&self, lease: Lease) {
        *self.lease.write().unwrap_or_else(PoisonError::into_inner) = Some(lease);
    }
}

/// Opens the sessions of a pool.
pub(super) struct Opener {
    route: Arc<Route>,
    places: Arc<Semaphore>,
    standing: Arc<Standing>,
}

impl managed::Manager for Opener {
    type Type = Session;
    type Error = OpenError;

    async fn create(&self) -> Result<Session, OpenError> {
        let place = Arc::clone(&self.places).acquire_owned().await.map_err(|_| OpenError::Busy)?;
        let accepted = self.route.connect().await.and_then(|(connection, found)| {
            self.standing.accept(&found)?;
            Ok((connection, found))
        });
        let (connection, found) = accepted.inspect_err(|error| {
            if error.is_wrong_server() {
                self.standing.is_over.cancel();
            }
        })?;
        Ok(Session::new(connection, found.backend, place))
    }

    async fn recycle(
        &self,
        session: &mut Session,
        metrics: &Metrics,
    ) -> managed::RecycleResult<OpenError> {
        if metrics.age() > LONGEST_LIFE || self.standing.is_doubtful(session.used_at()) {
            return Err(RecycleError::message("too old, or idle when another died"));
        }
        let recovered = session.recover(session.used_at().elapsed() > RESTED).await;
        recovered.inspect_err(|_| self.standing.doubt()).map_err(RecycleError::Backend)
    }

    fn detach(&self, session: &mut Session) {
        self.route.leave_behind(session.left_behind());
    }
}

impl Unit {
    /// Creates a unit that is not in use yet. Connections are opened on demand.
    pub(super) fn new(route: &Arc<Route>, places: &[Places]) -> Self {
        let standing = Arc::<Standing>::default();
        let pool = |(most, places): &Places| {
            let (route, places) = (Arc::clone(route), Arc::clone(places));
            let opener = Opener { route, places, standing: Arc::clone(&standing) };
            // Building a pool fails only if it has timeouts but no runtime. This one has no
            // timeouts.
            Pool::builder(opener).max_size(*most).build().ok()
        };
        Self { pools: places.iter().filter_map(pool).collect(), standing }
    }

    /// Ends the unit. Sessions in use are closed when they are given back.
    pub(super) fn end(&self) {
        self.standing.is_over.cancel();
        self.pools.iter().for_each(Pool::close);
    }
}
