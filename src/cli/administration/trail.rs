//! The audit trail in both ways: the rows of a database, or the events of a node.

use tonic::Streaming;
use uuid::Uuid;

use super::{
    Clients, Site, message,
    node::{Calls, Node},
    reading::{self, understood},
};
use crate::{
    cli::exit::Exit,
    domain::{Actor, AuditEntry, AuditHash},
    pb::v1::{self, watch_audit_events_response::Row},
    registry::{AuditQuery, Registry, seq},
    store::{Readable, UnreadableRow, WHOLE_TRAIL},
};

/// Events per page of a list, which is the most that a node sends.
const PAGE: usize = 500;

/// The audit trail of a database or of a node.
pub(in crate::cli) enum Trail<'a> {
    Database(Registry),
    Node(&'a Node),
}

impl Site {
    /// The audit trail there, for commands that only look.
    pub(in crate::cli) fn trail(&self, actor: Actor) -> Trail<'_> {
        match self.clients(actor) {
            Clients::Database(registry) => Trail::Database(registry),
            Clients::Node(node) => Trail::Node(node),
        }
    }
}

impl Trail<'_> {
    /// Finds the last entries that match, at most `limit`, newest first.
    pub(in crate::cli) async fn last(
        &self,
        query: &AuditQuery,
        limit: usize,
    ) -> anyhow::Result<Vec<Readable<AuditEntry>>> {
        match self {
            Self::Database(registry) => Ok(registry.find_audit(query, WHOLE_TRAIL, limit).await?),
            Self::Node(node) => node.last_events(query, limit).await,
        }
    }
}

/// Events of a node as they are written.
pub(in crate::cli) struct Events<'a> {
    node: &'a Node,
    stream: Streaming<v1::WatchAuditEventsResponse>,
}

impl Events<'_> {
    /// Waits for the next event. An end of the stream is an error: it lasts until somebody ends it.
    pub(in crate::cli) async fn next(&mut self) -> anyhow::Result<Readable<AuditEntry>> {
        let next = self.stream.message().await;
        let next = next.map_err(|status| {
            let refused = self.node.refusal(&status);
            match refused.reason {
                Some(_) => refused.error,
                // It was neither refused nor ended by the node, so the connection broke.
                None => Exit::Unavailable.error(format!("{:#}", refused.error)),
            }
        })?;
        let Some(next) = next else {
            return Err(Exit::Unavailable.error("the node has ended the stream"));
        };
        let row = next.row.map(|row| match row {
            Row::Event(event) => entry(event).map(Ok),
            Row::Unreadable(row) => Some(Err(unreadable(&row))),
        });
        understood("event", row.flatten())
    }
}

impl Node {
    /// Begins to watch the trail, from its end.
    pub(in crate::cli) async fn watch(&self, query: &AuditQuery) -> anyhow::Result<Events<'_>> {
        let filter = Some(filter_of(query)?);
        let asked = v1::WatchAuditEventsRequest { after_seq: None, filter };
        let call = async |mut calls: Calls| calls.watch_audit_events(asked).await;
        Ok(Events { node: self, stream: self.ask(call).await? })
    }

    async fn last_events(
        &self,
        query: &AuditQuery,
        limit: usize,
    ) -> anyhow::Result<Vec<Readable<AuditEntry>>> {
        let mut found: Vec<Readable<AuditEntry>> = Vec::new();
        let mut message = v1::ListAuditEventsRequest {
            filter: Some(filter_of(query)?),
            newest_first: true,
            ..v1::ListAuditEventsRequest::default()
        };
        loop {
            let size = limit.saturating_sub(found.len()).min(PAGE);
            message.page_size = i32::try_from(size)?;
            let asked = message.clone();
            let page =
                self.ask(async |mut calls: Calls| calls.list_audit_events(asked).await).await?;
            let begin = found.len();
            for event in page.events {
                found.push(Ok(understood("event", entry(event))?));
            }
            found.extend(page.unreadable.iter().map(|row| Err(unreadable(row))));
            // The rows that cannot be read come apart from the others.
            if let Some(page) = found.get_mut(begin..) {
                page.sort_by_key(|row| std::cmp::Reverse(seq(row)));
            }
            message.page_token = page.next_page_token;
            if message.page_token.is_empty() || found.len() >= limit {
                return Ok(found);
            }
        }
    }
}

/// The filter for a node, which takes an empty text for one that is left out, and would find all.
fn filter_of(query: &AuditQuery) -> anyhow::Result<v1::AuditFilter> {
    let AuditQuery { rows, act, field, gained, lost } = query;
    let texts = [&rows.actor, &rows.action, act, field, gained, lost];
    if texts.into_iter().flatten().any(String::is_empty) {
        return Err(Exit::Usage.error(
            "a node cannot look for an empty value: leave that filter out, or look directly in the \
             database with --database-url or --data-dir",
        ));
    }
    Ok(message::audit_filter(query))
}

fn entry(event: v1::AuditEvent) -> Option<AuditEntry> {
    let some = |text: String| Some(text).filter(|text| !text.is_empty());
    let id = |text: &str| match text {
        "" => Ok(None),
        text => Uuid::try_parse(text).map(Some),
    };
    Some(AuditEntry {
        seq: event.seq,
        at: reading::moment(event.event_time.as_ref()?)?,
        actor: some(event.actor),
        login: some(event.login),
        action: event.action,
        client: id(&event.client).ok()?,
        client_id: some(event.client_id),
        subject: id(&event.subject).ok()?,
        detail: event.detail,
        hash: match &*event.hash {
            "" => None,
            hash => Some(AuditHash::parse(hash)?),
        },
    })
}

fn unreadable(row: &v1::UnreadableRow) -> UnreadableRow {
    let seq = Some(row.seq).filter(|seq| *seq != 0);
    UnreadableRow { seq, ..reading::unreadable(row, "audit") }
}
