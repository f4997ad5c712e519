//! The connections to Postgres, as one unit with the change feed.
//!
//! The pools of a node and its feed lead to one primary. If any of them notices that another
//! server answers, or if the feed is lost, all of them are replaced together: a node whose feed is
//! on the new primary and whose pools are on the old one would answer from the past.

use std::{
    sync::{
        Arc, PoisonError, RwLock,
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

use super::{
    lease::Lease,
    nodes::Leases,
    route::Route,
    session::OpenError,
    unit::{Opener, Places, Unit},
};
use crate::{domain::Error, store::Connections};

/// How long the statements of one call may take. Above the timeouts that the server keeps, so that
/// it is mostly the server that says why.
pub(super) const PATIENCE: Duration = Duration::from_secs(6);

/// A session that is in use, and the unit that it is of.
pub(super) struct InUse {
    session: Object<Opener>,
    unit: Arc<Unit>,
    needs_lease: bool,
}

impl InUse {
    /// The connection, for the statements of one call, which [`InUse::end`] ends. Where it is not
    /// called, because the caller went away, the session is looked at before its next use.
    pub(super) fn begin(&mut self) -> &mut PgConnection {
        self.session.begin()
    }

    /// The lease by which the session proves itself; none for a command.
    ///
    /// # Errors
    /// `Unavailable` where a node has no lease.
    pub(super) fn lease(&self) -> Result<Option<Lease>, Error> {
        let lease = self.unit.standing.lease();
        if self.needs_lease && lease.is_none() {
            return Err(Error::unavailable("this node has no lease"));
        }
        Ok(lease)
    }

    /// Notes how the statements ended. A session that does not find the lease of its node ends the
    /// whole unit.
    pub(super) fn end<T>(mut self, result: Result<T, Error>) -> Result<T, Error> {
        let error = match &result {
            Err(Error::Unavailable { cause, .. } | Error::Internal { cause }) => {
                cause.downcast_ref::<sqlx::Error>()
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

/// The way to a primary: how many connections there may be, and the unit in use.
pub(super) struct Primary {
    pub(super) route: Arc<Route>,
    /// Places for connections, for each lane. A replaced pool keeps those of its sockets that are
    /// still open.
    places: Vec<Places>,
    unit: RwLock<Arc<Unit>>,
    /// Whether a node answers from here, and so needs a lease.
    needs_lease: AtomicBool,
    /// The leases of all nodes as they were seen.
    pub(super) leases: Leases,
}

impl Primary {
    /// A way with so many connections for each lane. Connects when a connection is needed and not
    /// before.
    pub(super) fn new(route: Route, lanes: &[u32]) -> Self {
        let route = Arc::new(route);
        let places = lanes.iter().map(|most| {
            let most = *most as usize;
            (most, Arc::new(Semaphore::new(most)))
        });
        let places: Vec<_> = places.collect();
        let unit = RwLock::new(Arc::new(Unit::new(&route, &places)));
        Self { route, places, unit, needs_lease: AtomicBool::new(false), leases: Leases::default() }
    }

    /// A new unit, which is not in use yet.
    pub(super) fn new_unit(&self) -> Arc<Unit> {
        Arc::new(Unit::new(&self.route, &self.places))
    }

    /// A session beside the pools.
    pub(super) async fn connect(&self) -> Result<PgConnection, Error> {
        let opened = self.route.connect().await;
        opened.map(|(connection, _)| connection).map_err(OpenError::into_fault)
    }

    /// Puts a unit in the place of the one in use, whose sessions are closed as they are given
    /// back.
    pub(super) fn install(&self, unit: Arc<Unit>) {
        let mut current = self.unit.write().unwrap_or_else(PoisonError::into_inner);
        let old = std::mem::replace(&mut *current, unit);
        drop(current);
        old.end();
    }

    /// From now on nothing is read without a lease.
    pub(super) fn require_lease(&self) {
        self.needs_lease.store(true, Ordering::Release);
    }

    /// Whether nothing is read without a lease.
    pub(super) fn needs_lease(&self) -> bool {
        self.needs_lease.load(Ordering::Acquire)
    }

    /// The unit in use. One that is over is replaced here only for commands: a node replaces it
    /// with its feed.
    fn unit(&self) -> Arc<Unit> {
        let unit = Arc::clone(&self.unit.read().unwrap_or_else(PoisonError::into_inner));
        if !unit.standing.is_over.is_cancelled() || self.needs_lease() {
            return unit;
        }
        let fresh = self.new_unit();
        self.install(Arc::clone(&fresh));
        fresh
    }

    /// A session of a lane.
    pub(super) async fn session(&self, lane: usize) -> Result<InUse, Error> {
        let found = timeout(self.route.wait, self.find_session(lane)).await;
        found.unwrap_or_else(|Elapsed { .. }| Err(OpenError::Busy.into_fault()))
    }

    /// Waits for a session. Whoever waits while the unit is replaced goes on with the new one.
    async fn find_session(&self, lane: usize) -> Result<InUse, Error> {
        let mut unit = self.unit();
        loop {
            if unit.standing.is_over.is_cancelled() {
                return Err(Error::unavailable("another connection to the primary is being made"));
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

    /// The connections of a lane: those whose sockets are open, of replaced pools as well.
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
