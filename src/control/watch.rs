//! `WatchAuditEvents`: rows of the audit trail as they are written.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use futures_util::stream::{self, BoxStream, StreamExt};
use tokio::{sync::OwnedSemaphorePermit, time::sleep};
use tonic::{Request, Status, metadata::MetadataMap};

use super::{ClientRpc, Refusal, installation::seq, parse, render};
use crate::{
    domain::{AuditEntry, Error},
    pb::v1::{self, watch_audit_events_response::Row},
    registry::{AuditQuery, RegistryError},
    request::{LocalUser, Method, RequestContext},
    store::Readable,
};

/// Streams at the same time. Each looks at the trail twice a second.
pub(super) const MAX_WATCHES: usize = 8;

/// Time between two looks at the trail.
const PAUSE: Duration = Duration::from_millis(500);

/// Rows of the trail that one look reads.
const PAGE: u32 = 500;

/// What is sent to the caller.
pub(super) type Events = BoxStream<'static, Result<v1::WatchAuditEventsResponse, Status>>;

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

/// A stream of the trail.
struct Watch {
    rpc: ClientRpc,
    watcher: Watcher,
    query: AuditQuery,
    /// Position of the last row that was looked at.
    seen: i64,
    /// What was found and not sent yet: at most a page.
    found: VecDeque<Readable<AuditEntry>>,
    /// Whether there may be more rows at once.
    is_behind: bool,
    _permit: OwnedSemaphorePermit,
}

impl ClientRpc {
    pub(super) async fn watch(
        &self,
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
            None => self.store.audit_head().await?.map_or(0, |mark| mark.seq),
        };
        let Ok(permit) = Arc::clone(&self.watches).try_acquire_owned() else {
            return Err(Error::unavailable("too many callers watch the audit trail").into());
        };
        let watch = Watch {
            rpc: self.clone(),
            watcher,
            query,
            seen,
            found: VecDeque::new(),
            is_behind: true,
            _permit: permit,
        };
        // After an error there is nothing more.
        let events = stream::unfold(Some(watch), |watch| async move {
            let mut watch = watch?;
            match watch.next().await {
                Ok(row) => Some((Ok(message_of(&row)), Some(watch))),
                Err(refusal) => Some((Err(refusal.into_status()), None)),
            }
        });
        Ok(events.boxed())
    }
}

impl Watch {
    /// Waits for the next row that matches.
    async fn next(&mut self) -> Result<Readable<AuditEntry>, Refusal> {
        loop {
            if let Some(row) = self.found.pop_front() {
                return Ok(row);
            }
            if !self.is_behind {
                sleep(PAUSE).await;
            }
            let Watcher { metadata, user, context } = &self.watcher;
            self.rpc.caller(Method::WatchAuditEvents, metadata, *user, context).await?;
            self.look().await?;
        }
    }

    /// Reads the rows after those that were seen, as far as one page goes.
    async fn look(&mut self) -> Result<(), RegistryError> {
        let rows = self.rpc.store.audit_after(self.seen, PAGE).await?;
        self.is_behind = rows.len() == PAGE as usize;
        let Some(end) = rows.iter().rev().find_map(seq) else { return Ok(()) };
        let seqs = self.seen.saturating_add(1)..=end;
        self.seen = end;
        if self.query == AuditQuery::default() {
            self.found = rows.into();
            return Ok(());
        }
        let found = self.rpc.registry.find_audit(&self.query, seqs, PAGE as usize).await?;
        self.found = found.into_iter().rev().collect();
        Ok(())
    }
}

fn message_of(row: &Readable<AuditEntry>) -> v1::WatchAuditEventsResponse {
    let row = match row {
        Ok(entry) => Row::Event(render::event(entry)),
        Err(row) => Row::Unreadable(render::unreadable(row)),
    };
    v1::WatchAuditEventsResponse { row: Some(row) }
}
