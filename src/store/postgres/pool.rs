//! Connections to Postgres: the pools, as one unit with the change feed.
//!
//! The pools of a node and its feed must be on the same primary. If one of them reaches another
//! server, or if the feed is lost, all of them are replaced together. A node with its feed on the
//! new primary and its pools on the old one would answer from outdated data.

use std::{
    sync::{
        Arc, Mutex, PoisonError, RwLock,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use deadpool::managed::{Object, PoolError};
use sqlx::PgConnection;
use tokio::{
    sync::Semaphore,
    time::{error::Elapsed, timeout},
};
use uuid::Uuid;

use super::{
    lease::Lease,
    nodes::Leases,
    route::Route,
    session::OpenError,
    unit::{Opener, Places, Unit},
};
use crate::{
    domain::Error,
    store::{Connections, ServerProcess, driver_error::DriverError},
};

/// Timeout for the statements of one call. It is longer than the timeouts on the server, so that
/// usually the server ends a statement and reports why.
pub(super) const PATIENCE: Duration = Duration::from_secs(6);

/// A session in use, with its unit.
pub(super) struct InUse {
    session: Object<Opener>,
    unit: Arc<Unit>,
    needs_lease: bool,
}

impl InUse {
    /// Returns the connection for the statements of one call, which ends with [`InUse::end`]. If
    /// that is not called because the caller went away, the session is checked before its next use.
    pub(super) fn begin(&mut self) -> &mut PgConnection {
        self.session.begin()
    }

    /// Returns the process of the server that serves this session; `None` if the server hides it.
    pub(super) fn server_process(&self) -> Option<ServerProcess> {
        self.session.server_process()
    }

    /// Returns the lease that proves that the session is on the primary; `None` in a command.
    ///
    /// # Errors
    /// `Unavailable` if a node has no lease.
    pub(super) fn lease(&self) -> Result<Option<Lease>, Error> {
        let lease = self.unit.standing.lease();
        if self.needs_lease && lease.is_none() {
            return Err(Error::unavailable("this node has no lease"));
        }
        Ok(lease)
    }

    /// Records the result of the statements. If the session did not find the lease of its node, the
    /// whole unit is ended.
    pub(super) fn end<T>(mut self, result: Result<T, Error>) -> Result<T, Error> {
        let error = match &result {
            Err(Error::Unavailable { cause, .. } | Error::Internal { cause }) => {
                DriverError::behind(cause.as_ref())
            }
            _ => None,
        };
        if error.is_some_and(is_lease_lost) {
            self.unit.standing.is_over.cancel();
        }
        if self.session.ended(error) {
            self.unit.standing.doubt();
        }
        result
    }
}

fn is_lease_lost(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(sqlx::error::DatabaseError::code);
    code.as_deref() == Some(Lease::NOT_FOUND)
}

/// Access to a primary: its route, the maximum connections, and the unit in use.
pub(super) struct Primary {
    pub(super) route: Arc<Route>,
    /// Maximum connections and permits of each lane. A replaced pool keeps the permits of its
    /// sockets that are still open.
    places: Vec<Places>,
    unit: RwLock<Arc<Unit>>,
    /// Set in a node, which must not answer without a lease. Commands do not set it.
    needs_lease: AtomicBool,
    /// The leases of all nodes, as they were last seen.
    pub(super) leases: Leases,
    /// Id with which this node writes evidence; `None` in a command.
    recorder: Mutex<Option<Uuid>>,
}

impl Primary {
    /// Creates the access. `lanes` holds the maximum connections of each lane. Connections are
    /// opened on demand.
    pub(super) fn new(route: Route, lanes: &[u32]) -> Self {
        let route = Arc::new(route);
        let places = lanes.iter().map(|most| {
            let most = *most as usize;
            (most, Arc::new(Semaphore::new(most)))
        });
        let places: Vec<_> = places.collect();
        let unit = RwLock::new(Arc::new(Unit::new(&route, &places)));
        Self {
            route,
            places,
            unit,
            needs_lease: AtomicBool::new(false),
            leases: Leases::default(),
            recorder: Mutex::default(),
        }
    }

    /// Creates a unit that is not in use yet.
    pub(super) fn new_unit(&self) -> Arc<Unit> {
        Arc::new(Unit::new(&self.route, &self.places))
    }

    /// Opens a session outside the pools.
    pub(super) async fn connect(&self) -> Result<PgConnection, Error> {
        let opened = self.route.connect().await;
        opened.map(|(connection, _)| connection).map_err(OpenError::into_fault)
    }

    /// Replaces the unit in use. Sessions of the old unit are closed when they are given back.
    pub(super) fn install(&self, unit: Arc<Unit>) {
        let mut current = self.unit.write().unwrap_or_else(PoisonError::into_inner);
        let old = std::mem::replace(&mut *current, unit);
        drop(current);
        old.end();
    }

    /// Refuses calls without a lease from now on.
    pub(super) fn require_lease(&self) {
        self.needs_lease.store(true, Ordering::Release);
    }

    /// Whether calls without a lease are refused.
    pub(super) fn needs_lease(&self) -> bool {
        self.needs_lease.load(Ordering::Acquire)
    }

    /// Id with which this node writes evidence; `None` if it has not announced itself.
    pub(super) fn recorder(&self) -> Option<Uuid> {
        *self.recorder.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn set_recorder(&self, id: Uuid) {
        *self.recorder.lock().unwrap_or_else(PoisonError::into_inner) = Some(id);
    }

    /// Returns the unit in use. If it is over, it is replaced here only in commands, because a node
    /// replaces it together with its feed.
    fn unit(&self) -> Arc<Unit> {
        let unit = Arc::clone(&self.unit.read().unwrap_or_else(PoisonError::into_inner));
        if !unit.standing.is_over.is_cancelled() || self.needs_lease() {
            return unit;
        }
        let fresh = self.new_unit();
        self.install(Arc::clone(&fresh));
        fresh
    }

    /// Takes a session of a lane. Waits for at most `route.wait`.
    pub(super) async fn session(&self, lane: usize) -> Result<InUse, Error> {
        let found = timeout(self.route.wait, self.find_session(lane)).await;
        found.unwrap_or_else(|Elapsed { .. }| Err(OpenError::Busy.into_fault()))
    }

    /// Waits for a session. If the unit is replaced meanwhile, the caller continues with the new
    /// one.
    async fn find_session(&self, lane: usize) -> Result<InUse, Error> {
        let mut unit = self.unit();
        loop {
            if unit.standing.is_over.is_cancelled() {
                return Err(Error::unavailable("connections to the primary are being replaced"));
            }
            let needs_lease = self.needs_lease();
            match unit.pools[lane].get().await {
                Ok(session) => return Ok(InUse { session, unit, needs_lease }),
                Err(PoolError::Backend(error)) => return Err(error.into_fault()),
                Err(_) => {
                    let closed = std::mem::replace(&mut unit, self.unit());
                    if Arc::ptr_eq(&closed, &unit) {
                        return Err(Error::unavailable("the connections are being closed"));
                    }
                }
            }
        }
    }

    /// Counts the connections of a lane. Open sockets of replaced pools are included.
    pub(super) fn connections(&self, lane: usize) -> Connections {
        let (most, places) = &self.places[lane];
        let number = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        Connections {
            open: number(most.saturating_sub(places.available_permits())),
            idle: number(self.unit().pools[lane].status().available),
            most: number(*most),
        }
    }

    /// Closes the connections of a lane.
    pub(super) async fn close(&self, lane: usize) {
        let pool = self.unit().pools[lane].clone();
        let resting = pool.retain(|_, _| false).removed;
        pool.close();
        for session in resting {
            session.close().await;
        }
    }
}
