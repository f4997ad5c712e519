//! Uses of secrets, and how far the evidence of them goes.

use std::net::IpAddr;

use super::{Cell, Cells, cells::parsed, unreadable::UnreadableRow};
use crate::{
    domain::{ClientId, Gap, Malformed, Recorder, SecretId, SecretUse, SourceUse, Span, Timestamp},
    store::{Readable, UnusedClient},
};

/// Reads the uses of secrets and adds the sources to them.
pub(in crate::store) fn secret_uses(
    rows: &[impl Cells],
    sources: &[impl Cells],
) -> Vec<(SecretId, Readable<SecretUse>)> {
    let mut uses: Vec<_> = rows.iter().filter_map(secret_use).collect();
    for row in sources {
        let Ok((secret, source)) = secret_source(row) else { continue };
        if let Some((_, Ok(known))) = uses.iter_mut().find(|(id, _)| *id == secret) {
            known.sources.push(source);
        }
    }
    uses
}

/// Reads a row of `secret_use`; `None` if it does not tell its secret.
fn secret_use(row: &impl Cells) -> Option<(SecretId, Readable<SecretUse>)> {
    let id = row.uuid("secret").ok()?;
    let uses = use_cells(row).map_err(|bad| UnreadableRow { id: Some(id), ..bad.of("secret_use") });
    Some((SecretId(id), uses))
}

fn use_cells(row: &impl Cells) -> Cell<SecretUse> {
    let first = row.maybe_moment("first_used_at")?;
    let last = row.maybe_moment("last_used_at")?;
    Ok(SecretUse {
        used: first.or(last).map(|first| Span { first, last: last.unwrap_or(first) }),
        last_source: source(row, "last_source")?,
        uses: count(row, "uses")?,
        refused: count(row, "refused")?,
        last_refused_at: row.maybe_moment("last_refused_at")?,
        last_refused_source: source(row, "last_refused_source")?,
        sources: Vec::new(),
    })
}

fn secret_source(row: &impl Cells) -> Cell<(SecretId, SourceUse)> {
    let source: Option<IpAddr> = source(row, "source")?;
    let source = parsed("source", source.ok_or(Malformed("it is not an address")))?;
    let span = Span { first: row.moment("first_used_at")?, last: row.moment("last_used_at")? };
    let uses = count(row, "uses")?;
    Ok((SecretId(row.uuid("secret")?), SourceUse { source, used: span, uses }))
}

/// A text that is not an address, after an edit by hand, is no known source.
fn source(row: &impl Cells, column: &'static str) -> Cell<Option<IpAddr>> {
    Ok(row.maybe_text(column)?.and_then(|text| text.parse().ok()))
}

fn count(row: &impl Cells, column: &'static str) -> Cell<u64> {
    Ok(u64::try_from(row.integer(column)?).unwrap_or(0))
}

/// Reads when a secret was used last.
pub(in crate::store) fn last_use(row: &impl Cells) -> Cell<(SecretId, Timestamp)> {
    Ok((SecretId(row.uuid("secret")?), row.moment("last_used_at")?))
}

/// Reads a client that was not used, and when it was.
pub(in crate::store) fn unused_client(row: &impl Cells) -> Cell<UnusedClient> {
    let client_id = parsed("client_id", ClientId::parse(&row.text("client_id")?))?;
    Ok((client_id, row.maybe_moment("last_used_at")?))
}

/// Reads gaps and nodes. A row that cannot be read may stand for a gap at any time.
pub(in crate::store) fn evidence(rows: &[impl Cells]) -> (Vec<Gap>, Vec<Recorder>) {
    let (mut gaps, mut recorders) = (Vec::new(), Vec::new());
    for row in rows {
        match gap_or_recorder(row) {
            Ok(Ok(gap)) => gaps.push(gap),
            Ok(Err(recorder)) => recorders.push(recorder),
            Err(_) => gaps.push(Gap { since: Timestamp::MIN, until: Timestamp::MAX }),
        }
    }
    (gaps, recorders)
}

fn gap_or_recorder(row: &impl Cells) -> Cell<Result<Gap, Recorder>> {
    let since = row.moment("since")?;
    Ok(match row.text("kind")?.as_str() {
        "counting" => {
            Err(Recorder::Counting { flushed_at: since, is_there: row.flag("is_there")? })
        }
        "mute" => Err(Recorder::Mute { since }),
        _ => Ok(Gap { since, until: row.moment("until")? }),
    })
}
