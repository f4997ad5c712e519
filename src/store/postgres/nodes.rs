//! Waiting until every node with a live lease has applied a change.
//!
//! Only monotonic clocks are used. A lease has expired if the waiting process has seen its row
//! unchanged for the length of the lease. The row is then deleted, so that its node cannot renew it
//! and the next writer need not wait. Until then a writer waits for the node. A database clock that
//! jumps, or that differs on a promoted standby, therefore shortens no lease.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use sqlx::PgConnection;
use tokio::time::{sleep, timeout};
use uuid::Uuid;

use super::{fault::fault, lease::Lease, pool::Primary};
use crate::{
    domain::Error,
    store::{Upkeep, row::Cells},
};

/// Timeout of the wait for all nodes. No lease is longer.
const PATIENCE: Duration = Duration::from_secs(10);

/// Pause between two reads of what the nodes have applied. It doubles up to the longest.
const FIRST_REST: Duration = Duration::from_millis(1);
const LONGEST_REST: Duration = Duration::from_millis(16);

/// Longest lease that can be configured.
const LONGEST_LEASE: Duration = Duration::from_secs(4);

/// Waits until no node can act on the earlier state: each has applied the newest change, or its
/// lease has expired. Called after the commit. The newest change may be that of another caller. The
/// change of this caller was committed before it, so it is applied as well.
pub(super) async fn applied_everywhere(primary: &Primary, lane: usize) -> Result<(), Error> {
    const SILENT: &str = "a node keeps its lease but does not apply changes";
    let waited = timeout(PATIENCE, wait(primary, lane)).await;
    waited.unwrap_or_else(|_| Err(Error::unavailable(SILENT)))
}

async fn wait(primary: &Primary, lane: usize) -> Result<(), Error> {
    let newest = on_session!(primary, lane, |connection, lease| newest(connection, lease))?;
    let mut rest = FIRST_REST;
    loop {
        let behind =
            on_session!(primary, lane, |connection, lease| behind(connection, newest, lease))?;
        let over = primary.leases.over(&behind);
        if over.len() == behind.len() {
            if !over.is_empty() {
                on_session!(primary, lane, |connection, _lease| expire(connection, &over))?;
            }
            return Ok(());
        }
        sleep(rest).await;
        rest = (rest * 2).min(LONGEST_REST);
    }
}

/// A row of `node` as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Holder {
    /// Public id of the node. The node alone knows its secret `id`.
    handle: Uuid,
    renewals: i64,
    /// As text, because it is only compared. A node of an earlier version updates it and does not
    /// count its renewals. `None` if it is null.
    lease_until: Option<String>,
    lease: Duration,
}

/// Last seen row of each lease, and since when the row has been seen unchanged. All callers of this
/// process share it, so if one is cut off by its deadline, the next continues its wait.
#[derive(Default)]
pub(super) struct Leases(Mutex<HashMap<Uuid, (Holder, Instant)>>);

impl Leases {
    /// Returns those leases that were not renewed for their whole length.
    fn over(&self, holders: &[Holder]) -> Vec<Holder> {
        // Nothing under the lock panics, so it cannot be poisoned.
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut over = Vec::new();
        for holder in holders {
            let entry = seen.entry(holder.handle);
            let (as_seen, since) = entry.or_insert_with(|| (holder.clone(), Instant::now()));
            if as_seen != holder {
                (*as_seen, *since) = (holder.clone(), Instant::now());
            } else if since.elapsed() > holder.lease {
                over.push(holder.clone());
            }
        }
        over
    }

    /// Removes the entries of all other leases.
    fn keep(&self, holders: &[Holder]) {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        seen.retain(|handle, _| holders.iter().any(|holder| holder.handle == *handle));
    }
}

async fn newest(connection: &mut PgConnection, lease: Option<Lease>) -> Result<i64, Error> {
    sqlx::query_scalar(
        "select coalesce(max(id), 0) from change where (select require_lease($1, $2))",
    )
    .bind(lease.map(|lease| lease.node))
    .bind(lease.map(|lease| lease.renewals))
    .fetch_one(connection)
    .await
    .map_err(fault)
}

/// Returns the nodes that have not applied the change `newest`.
async fn behind(
    connection: &mut PgConnection,
    newest: i64,
    lease: Option<Lease>,
) -> Result<Vec<Holder>, Error> {
    let rows = sqlx::query(
        "select handle, renewals, lease_until::text as lease_until, lease_ms from node
         where (applied < $1) is not false and (select require_lease($2, $3))",
    )
    .bind(newest)
    .bind(lease.map(|lease| lease.node))
    .bind(lease.map(|lease| lease.renewals))
    .fetch_all(connection)
    .await
    .map_err(fault)?;
    Ok(rows.iter().map(holder).collect())
}

/// Reads a row of `node`. A row that lacks values after a manual edit is waited for like any other,
/// and for the longest possible lease if it does not tell its own length. One bad row must neither
/// fail the revocations of all nodes, nor end the wait before its node has applied the change.
fn holder(row: &impl Cells) -> Holder {
    let lease = row.integer("lease_ms").ok().and_then(|lease| u64::try_from(lease).ok());
    let lease = lease.filter(|lease| *lease > 0).map_or(LONGEST_LEASE, Duration::from_millis);
    Holder {
        handle: row.uuid("handle").unwrap_or_default(),
        renewals: row.integer("renewals").unwrap_or(-1),
        lease_until: row.text("lease_until").ok(),
        lease: lease.min(LONGEST_LEASE),
    }
}

/// Deletes expired leases, unless they were renewed in the meantime.
async fn expire(connection: &mut PgConnection, over: &[Holder]) -> Result<(), Error> {
    sqlx::query(
        "select end_lease(handle, renewals, lease_until::timestamptz)
         from unnest($1::uuid[], $2::bigint[], $3::text[])
             as lease (handle, renewals, lease_until)",
    )
    .bind(over.iter().map(|holder| holder.handle).collect::<Vec<_>>())
    .bind(over.iter().map(|holder| holder.renewals).collect::<Vec<_>>())
    .bind(over.iter().map(|holder| holder.lease_until.clone()).collect::<Vec<_>>())
    .execute(connection)
    .await
    .map_err(fault)?;
    Ok(())
}

/// Deletes the leases of nodes that stopped without giving them back: those not renewed since the
/// last round. Then deletes the changes that every node has applied.
pub(super) async fn forget(primary: &Primary, lane: usize, done: &mut Upkeep) -> Result<(), Error> {
    let all = on_session!(primary, lane, |connection, _lease| behind(connection, i64::MAX, None))?;
    primary.leases.keep(&all);
    let over = primary.leases.over(&all);
    if !over.is_empty() {
        on_session!(primary, lane, |connection, _lease| expire(connection, &over))?;
    }
    done.changes_forgotten =
        on_session!(primary, lane, |connection, _lease| forget_changes(connection))?;
    Ok(())
}

async fn forget_changes(connection: &mut PgConnection) -> Result<u64, Error> {
    let forgotten: i64 =
        sqlx::query_scalar("select forget_changes()").fetch_one(connection).await.map_err(fault)?;
    Ok(u64::try_from(forgotten).unwrap_or(0))
}
