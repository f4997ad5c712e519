//! `jeton audit watch`: changes as they are made.

use std::time::Duration;

use anyhow::Context;
use clap::Args;
use tokio::{
    select,
    signal::unix::{SignalKind, signal},
    time::sleep,
};

use super::{filter::Filter, text};
use crate::{
    cli::{
        administration::{Events, Reading, Site, Trail},
        deadline::Deadline,
        node, output,
        target::UNCHANGED,
    },
    domain::AuditEntry,
    registry::{AuditQuery, Registry, seq},
    store::{Readable, WHOLE_TRAIL},
};

/// Time between two looks at the trail.
const PAUSE: Duration = Duration::from_millis(500);

#[derive(Debug, Args)]
pub(in crate::cli) struct Watch {
    #[command(flatten)]
    filter: Filter,

    #[command(flatten)]
    on: Reading,
}

impl Watch {
    pub(super) async fn run(self, deadline: Deadline) -> anyhow::Result<()> {
        let site = Site::of(self.on.at)?;
        site.announce();
        let query = AuditQuery::from(self.filter);
        let mut interrupt = signal(SignalKind::interrupt())?;
        let shown = |entries: &[Readable<AuditEntry>]| {
            for entry in entries {
                output::say(&line(entry, self.on.format.json));
            }
        };
        let watching = async {
            match site.trail(node::this_user()) {
                Trail::Database(registry) => poll(&site, deadline, &registry, &query, &shown).await,
                Trail::Node(node) => {
                    let begun = node.watch(&query);
                    follow(site.step(deadline, UNCHANGED, begun).await?, &shown).await
                }
            }
        };
        let ended = select! {
            ended = watching => ended,
            _ = interrupt.recv() => Ok(()),
        };
        site.leave().await;
        ended
    }
}

/// Says that nothing that happens from now on is missed.
fn begun() {
    output::remark("Watching for changes; Ctrl-C ends this.");
}

/// Looks at the trail of a database again and again.
async fn poll(
    site: &Site,
    deadline: Deadline,
    registry: &Registry,
    query: &AuditQuery,
    show: &impl Fn(&[Readable<AuditEntry>]),
) -> anyhow::Result<()> {
    let mut seen = site.step(deadline, UNCHANGED, end_of(registry)).await?;
    begun();
    while !output::is_lost() {
        // Each look has its own deadline, because the whole lasts as long as one likes.
        let entries = site.step(deadline, UNCHANGED, news(registry, query, &mut seen)).await?;
        show(&entries);
        sleep(PAUSE).await;
    }
    Ok(())
}

/// Shows what a node sends.
async fn follow(
    mut events: Events<'_>,
    show: &impl Fn(&[Readable<AuditEntry>]),
) -> anyhow::Result<()> {
    begun();
    let mut seen = None;
    while !output::is_lost() {
        let after = || seen.map(|seq: i64| format!("the last change seen is number {seq}"));
        let entry = events.next().await.with_context(|| after().unwrap_or_else(nothing))?;
        seen = seq(&entry).or(seen);
        show(&[entry]);
    }
    Ok(())
}

fn nothing() -> String {
    "no change was seen".to_owned()
}

/// The entries after `seen` that match, in their order; then `seen` is the last of the trail.
async fn news(
    registry: &Registry,
    query: &AuditQuery,
    seen: &mut i64,
) -> anyhow::Result<Vec<Readable<AuditEntry>>> {
    let end = end_of(registry).await?;
    if end <= *seen {
        return Ok(Vec::new());
    }
    let seqs = seen.saturating_add(1)..=end;
    let mut entries = registry.find_audit(query, seqs, usize::MAX).await?;
    entries.reverse();
    *seen = end;
    Ok(entries)
}

/// Position of the last entry of the trail.
async fn end_of(registry: &Registry) -> anyhow::Result<i64> {
    let last = registry.find_audit(&AuditQuery::default(), WHOLE_TRAIL, 1).await?;
    Ok(last.first().and_then(seq).unwrap_or(0))
}

fn line(entry: &Readable<AuditEntry>, as_json: bool) -> String {
    if as_json {
        return text::json(entry).to_string();
    }
    let [seq, at, action, client, actor, subject] = text::row(entry);
    let parts = [seq, at, action, client, actor, text::change(entry), subject];
    let parts: Vec<_> = parts.into_iter().filter(|part| !part.is_empty()).collect();
    output::printable(&parts.join("  "))
}
