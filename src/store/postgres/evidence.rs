//! Evidence of the use of secrets on Postgres. Functions of the schema (migration 15) write it, so
//! a node can add uses and cannot take any back.

use std::time::Duration;

use sqlx::PgConnection;
use uuid::Uuid;

use super::{fault::fault, moment::Moment};
use crate::{
    domain::{ClientId, Error, SecretId, SecretUse, SourceUse, Timestamp},
    store::{Readable, StoredEvidence, UnusedClient, columns, row},
};

/// Announces a node that counts uses. Returns the id with which it writes.
pub(super) async fn begin(connection: &mut PgConnection, due: Duration) -> Result<Uuid, Error> {
    sqlx::query_scalar("select begin_evidence($1)")
        .bind(millis(due))
        .fetch_one(connection)
        .await
        .map_err(fault)
}

/// Adds uses and their sources, in one statement.
pub(super) async fn record(
    connection: &mut PgConnection,
    uses: &[(SecretId, SecretUse)],
) -> Result<(), Error> {
    let sources: Vec<(SecretId, SourceUse)> = uses
        .iter()
        .flat_map(|(secret, uses)| uses.sources.iter().map(|source| (*secret, *source)))
        .collect();
    sqlx::query(
        "select record_secret_uses($1, $2, $3, $4, $5, $6, $7, $8),
                record_secret_sources($9, $10, $11, $12, $13)",
    )
    .bind(ids(uses))
    .bind(of(uses, |uses| uses.used.map(|used| Moment(used.first))))
    .bind(of(uses, |uses| uses.used.map(|used| Moment(used.last))))
    .bind(of(uses, |uses| uses.last_source.map(|source| source.to_string())))
    .bind(of(uses, |uses| count(uses.uses)))
    .bind(of(uses, |uses| count(uses.refused)))
    .bind(of(uses, |uses| uses.last_refused_at.map(Moment)))
    .bind(of(uses, |uses| uses.last_refused_source.map(|source| source.to_string())))
    .bind(ids(&sources))
    .bind(of(&sources, |source| source.source.to_string()))
    .bind(of(&sources, |source| Moment(source.used.first)))
    .bind(of(&sources, |source| Moment(source.used.last)))
    .bind(of(&sources, |source| count(source.uses)))
    .execute(connection)
    .await
    .map_err(fault)?;
    Ok(())
}

fn ids<T>(rows: &[(SecretId, T)]) -> Vec<Uuid> {
    rows.iter().map(|(secret, _)| secret.0).collect()
}

/// A column of these rows.
fn of<T, V>(rows: &[(SecretId, T)], value: impl Fn(&T) -> V) -> Vec<V> {
    rows.iter().map(|(_, row)| value(row)).collect()
}

/// Declares that everything counted until `flushed_at` was added.
pub(super) async fn mark(
    connection: &mut PgConnection,
    recorder: Uuid,
    flushed_at: Timestamp,
    due: Duration,
    lost_since: Option<Timestamp>,
) -> Result<(), Error> {
    sqlx::query("select mark_evidence($1, $2, $3, $4)")
        .bind(recorder)
        .bind(Moment(flushed_at))
        .bind(millis(due))
        .bind(lost_since.map(Moment))
        .execute(connection)
        .await
        .map_err(fault)?;
    Ok(())
}

/// Removes a node that has written everything.
pub(super) async fn end(connection: &mut PgConnection, recorder: Uuid) -> Result<(), Error> {
    sqlx::query("select end_evidence($1)")
        .bind(recorder)
        .execute(connection)
        .await
        .map_err(fault)?;
    Ok(())
}

/// Reads gaps and nodes. A node without a lease is not there. Nodes of earlier versions count
/// nothing; they are in the list of leases.
pub(super) async fn read(connection: &mut PgConnection) -> Result<StoredEvidence, Error> {
    let Moment(now) = sqlx::query_scalar("select clock_timestamp()")
        .fetch_one(&mut *connection)
        .await
        .map_err(fault)?;
    let rows = sqlx::query(
        "select 'gap' as kind, since, until, false as is_there from evidence_gap
         union all
         select 'counting', flushed_at, null,
                exists (select from node where node.recorder = evidence.recorder
                                               and lease_until > $1)
         from evidence
         union all
         select 'mute', joined_at, null, true from node where recorder is null",
    )
    .bind(Moment(now))
    .fetch_all(connection)
    .await
    .map_err(fault)?;
    let (gaps, recorders) = row::evidence(&rows);
    Ok(StoredEvidence { now, gaps, recorders })
}

pub(super) async fn uses(
    connection: &mut PgConnection,
    client_id: &ClientId,
) -> Result<Vec<(SecretId, Readable<SecretUse>)>, Error> {
    let uses = sqlx::query(columns::SECRET_USES)
        .bind(client_id.as_str())
        .fetch_all(&mut *connection)
        .await
        .map_err(fault)?;
    let sources = sqlx::query(columns::SECRET_SOURCES)
        .bind(client_id.as_str())
        .fetch_all(connection)
        .await
        .map_err(fault)?;
    Ok(row::secret_uses(&uses, &sources))
}

pub(super) async fn last_uses(
    connection: &mut PgConnection,
    secrets: &[SecretId],
) -> Result<Vec<(SecretId, Timestamp)>, Error> {
    let ids: Vec<_> = secrets.iter().map(|secret| secret.0).collect();
    let rows = sqlx::query(
        "select secret, last_used_at from secret_use
         where secret = any ($1) and last_used_at is not null",
    )
    .bind(ids)
    .fetch_all(connection)
    .await
    .map_err(fault)?;
    Ok(rows.iter().filter_map(|row| row::last_use(row).ok()).collect())
}

pub(super) async fn unused(
    connection: &mut PgConnection,
    since: Timestamp,
    after: Option<&ClientId>,
    limit: u32,
) -> Result<Vec<Option<UnusedClient>>, Error> {
    let rows = sqlx::query(columns::unused_clients!("client.client_id collate \"C\""))
        .bind(Moment(since))
        .bind(after.map_or("", ClientId::as_str))
        .bind(i64::from(limit))
        .fetch_all(connection)
        .await
        .map_err(fault)?;
    Ok(rows.iter().map(|row| row::unused_client(row).ok()).collect())
}

/// Removes what is kept for second thoughts and is old, and the uses of secrets that were deleted
/// and cannot come back, and erases the hashes of secrets that ended long ago. What one call
/// leaves, the next round does. Returns how many hashes were erased.
pub(super) async fn forget(connection: &mut PgConnection, now: Timestamp) -> Result<u64, Error> {
    sqlx::query("select forget_kept_rows(), forget_secret_uses()")
        .execute(&mut *connection)
        .await
        .map_err(fault)?;
    let forgotten: i64 = sqlx::query_scalar("select forget_secret_hashes($1)")
        .bind(Moment(now))
        .fetch_one(connection)
        .await
        .map_err(fault)?;
    Ok(u64::try_from(forgotten).unwrap_or(0))
}

fn millis(duration: Duration) -> i32 {
    i32::try_from(duration.as_millis()).unwrap_or(i32::MAX)
}

fn count(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
