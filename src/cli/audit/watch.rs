//! `jeton audit watch`: changes as they are made.

use std::time::Duration;

use clap::Args;
use tokio::{
    select,
    signal::unix::{SignalKind, signal},
    time::sleep,
};

use super::{filter::Filter, text};
use crate::{
    cli::{
        arguments::Reading,
        deadline::Deadline,
        node, output,
        target::{Target, UNCHANGED},
    },
    domain::AuditEntry,
    registry::{AuditQuery, Registry},
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
        let target = Target::of(self.on.database)?;
        target.announce();
        let registry = target.registry(node::this_user());
        let query = AuditQuery::from(self.filter);
        let looking = target.ready_for(end_of(&registry));
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut seen = target.step(deadline, UNCHANGED, looking).await?;
        output::remark("Watching for changes; Ctrl-C ends this.");
        loop {
            // Each look has its own deadline, because the whole lasts as long as one likes.
            let looking = target.step(deadline, UNCHANGED, news(&registry, &query, &mut seen));
            let entries = select! {
                entries = looking => entries?,
                _ = interrupt.recv() => break,
            };
            for entry in &entries {
                output::say(&line(entry, self.on.format.json));
            }
            if output::is_lost() {
                break;
            }
            select! {
                () = sleep(PAUSE) => {}
                _ = interrupt.recv() => break,
            }
        }
        target.leave().await;
        Ok(())
    }
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
    let seq = |row: &Readable<AuditEntry>| match row {
        Ok(entry) => Some(entry.seq),
        Err(row) => row.seq,
    };
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
