//! `WatchAuditEvents`: rows of the audit trail as they are written.

use std::{
    pin::pin,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use futures_util::stream::{self, BoxStream, StreamExt};
use tokio::{
    sync::mpsc,
    task::JoinHandle,
    time::{Instant, sleep, sleep_until},
};
use tonic::{Request, Status, metadata::MetadataMap};

use super::{Caller, ClientRpc, Refusal, parse, render};
use crate::{
    domain::{Actor, AuditEntry, Error},
    pb::v1::{self, watch_audit_events_response::Row},
    registry::{AuditQuery, RegistryError, seq},
    request::{LocalUser, Method, RequestContext},
    store::Readable,
};

/// Streams at the same time. Each looks at the trail twice a second.
const MAX_WATCHES: usize = 8;

/// Streams of one caller at the same time, so that none keeps all others from watching.
const MAX_WATCHES_OF_ONE: usize = MAX_WATCHES / 2;

/// Time between two looks at the trail, and between two looks at the caller.
const PAUSE: Duration = Duration::from_millis(500);

/// Rows of the trail that one look reads.
const PAGE: u32 = 500;

/// How long a caller may take nothing while there is something for it. Then it loses its place.
const PATIENCE: Duration = Duration::from_secs(30);

/// Rows that wait for the caller to take them.
const WAITING: usize = 16;

/// What is sent to the caller.
pub(super) type Events = BoxStream<'static, Result<v1::WatchAuditEventsResponse, Status>>;

/// Who watches at the moment, each as often as it has streams.
#[derive(Clone, Default)]
pub(super) struct Watches(Arc<Mutex<Vec<Actor>>>);

/// The place of one stream. It is free again when this is dropped.
struct Place {
    watches: Watches,
    actor: Actor,
}

impl Watches {
    fn take(&self, actor: &Actor) -> Result<Place, Error> {
        let mut taken = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if taken.len() >= MAX_WATCHES {
            return Err(Error::unavailable("too many callers watch the audit trail"));
        }
        if taken.iter().filter(|other| *other == actor).count() >= MAX_WATCHES_OF_ONE {
            return Err(Error::unavailable("this caller watches the audit trail too often"));
        }
        taken.push(actor.clone());
        Ok(Place { watches: self.clone(), actor: actor.clone() })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.watches.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(place) = taken.iter().position(|actor| *actor == self.actor) {
            taken.swap_remove(place);
        }
    }
}

/// Who watches, so that each look can find out again whether it may.
pub(super) struct Watcher {
    metadata: MetadataMap,
    user: Option<LocalUser>,
    context: RequestContext,
}

impl Watcher {
    pub(super) fn of<M>(request: &Request<M>) -> Self {
        let extensions = request.extensions();
        Self {
            metadata: request.metadata().clone(),
            user: extensions.get::<LocalUser>().copied(),
            context: extensions.get::<RequestContext>().cloned().unwrap_or_default(),
        }
    }
}

/// A stream of the trail. It runs in a task of its own: while a caller takes nothing, nobody asks
/// its response for more, and one who may not watch any more would keep its place.
struct Watch {
    rpc: ClientRpc,
    watcher: Watcher,
    /// When it was found that the caller may watch.
    checked: Instant,
    query: AuditQuery,
    /// Position of the last row that was looked at.
    seen: i64,
    rows: mpsc::Sender<v1::WatchAuditEventsResponse>,
    _place: Place,
}

impl ClientRpc {
    pub(super) async fn watch(
        &self,
        caller: Caller,
        watcher: Watcher,
        message: v1::WatchAuditEventsRequest,
    ) -> Result<Events, Refusal> {
        let query = parse::audit_query(message.filter.as_ref())?;
        let seen = match message.after_seq {
            Some(after) if after < 0 => {
                let remedy = "cannot be negative: leave it out for what comes from now on";
                return Err(Refusal::invalid("after_seq", remedy));
            }
            Some(after) => after,
            // The last row may be an edit by hand, without a hash yet.
            None => self.store.last_of_audit(None, 1).await?.iter().find_map(seq).unwrap_or(0),
        };
        let place = self.watches.take(&caller.actor)?;
        let (rows, taken) = mpsc::channel(WAITING);
        let watch = Watch {
            rpc: self.clone(),
            watcher,
            checked: Instant::now(),
            query,
            seen,
            rows,
            _place: place,
        };
        let end = tokio::spawn(watch.run());
        // After an error there is nothing more.
        let events = stream::unfold(Some((taken, end)), |watched| async move {
            let (mut taken, end) = watched?;
            match taken.recv().await {
                Some(row) => Some((Ok(row), Some((taken, end)))),
                None => Some((Err(status_of(end).await), None)),
            }
        });
        Ok(events.boxed())
    }
}

/// Why a stream has ended.
async fn status_of(end: JoinHandle<Refusal>) -> Status {
    let end = end.await;
    end.unwrap_or_else(|failed| Error::internal(failed).into()).into_status()
}

impl Watch {
    /// Sends rows until the caller may not watch any more, or does not.
    async fn run(mut self) -> Refusal {
        loop {
            match self.step().await {
                Ok(true) => {}
                Ok(false) => tokio::select! {
                    () = sleep(PAUSE) => {}
                    () = self.rows.closed() => return gone(),
                },
                Err(refusal) => return refusal,
            }
        }
    }

    /// Sends what one look finds. Returns whether there may be more rows at once.
    async fn step(&mut self) -> Result<bool, Refusal> {
        // Nothing may be sent for long.
        if self.rows.is_closed() {
            return Err(gone());
        }
        self.check().await?;
        let (found, is_behind) = self.look().await?;
        for row in found {
            self.send(message_of(&row)).await?;
        }
        Ok(is_behind)
    }

    /// Finds out whether the caller may still watch.
    async fn check(&mut self) -> Result<(), Refusal> {
        let Watcher { metadata, user, context } = &self.watcher;
        self.rpc.caller(Method::WatchAuditEvents, metadata, *user, context).await?;
        self.checked = Instant::now();
        Ok(())
    }

    /// Sends a row once there is room for it. Meanwhile the caller may lose what lets it watch.
    async fn send(&mut self, row: v1::WatchAuditEventsResponse) -> Result<(), Refusal> {
        let rows = self.rows.clone();
        let mut room = pin!(rows.reserve());
        let mut late = pin!(sleep(PATIENCE));
        loop {
            tokio::select! {
                biased;
                () = sleep_until(self.checked + PAUSE) => self.check().await?,
                () = &mut late => {
                    return Err(Error::unavailable("a caller takes no rows of the trail").into());
                }
                room = &mut room => {
                    room.map_err(|_| gone())?.send(row);
                    return Ok(());
                }
            }
        }
    }

    /// Reads the rows after those that were seen, as far as one page goes, and whether there may be
    /// more.
    async fn look(&mut self) -> Result<(Vec<Readable<AuditEntry>>, bool), RegistryError> {
        let rows = self.rpc.store.audit_after(self.seen, PAGE).await?;
        let is_behind = rows.len() == PAGE as usize;
        // Rows without a position are not passed: there are more at the next look.
        let Some(end) = rows.iter().rev().find_map(seq) else { return Ok((Vec::new(), false)) };
        let seqs = self.seen.saturating_add(1)..=end;
        self.seen = end;
        if self.query == AuditQuery::default() {
            return Ok((rows, is_behind));
        }
        let mut found = self.rpc.registry.find_audit(&self.query, seqs, PAGE as usize).await?;
        found.reverse();
        Ok((found, is_behind))
    }
}

/// Nobody is there to be told.
fn gone() -> Refusal {
    Error::unavailable("the caller has left").into()
}

fn message_of(row: &Readable<AuditEntry>) -> v1::WatchAuditEventsResponse {
    let row = match row {
        Ok(entry) => Row::Event(render::event(entry)),
        Err(row) => Row::Unreadable(render::unreadable(row)),
    };
    v1::WatchAuditEventsResponse { row: Some(row) }
}
