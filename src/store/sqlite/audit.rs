//! The audit trail on SQLite. Triggers write its rows, and this module seals them.

use std::ops::RangeInclusive;

use serde_json::json;
use sqlx::{
    Sqlite, SqliteConnection, SqliteExecutor, SqlitePool, query::Query, sqlite::SqliteArguments,
    sqlite::SqliteRow,
};

use super::{cells::Mended, fault::fault};
use crate::{
    domain::{Actor, AuditEntry, AuditMark, ClientId, Error, Timestamp},
    store::{AuditFilter, Readable, row},
};

/// Maximum rows that one transaction deletes.
const SLICE: i64 = 20_000;

pub(super) type Statement = Query<'static, Sqlite, SqliteArguments>;

/// Makes one change and seals its rows of the audit trail, in one transaction. Returns how many
/// rows the first statement changed. If it changed none, the transaction is rolled back.
///
/// Runs to completion even if the caller goes away, because the only connection for writing must
/// not be left inside a transaction. `begin immediate` takes the write lock at the start, so the
/// transaction cannot fail to get it later.
pub(super) async fn change(
    writer: &SqlitePool,
    actor: &Actor,
    statements: Vec<Statement>,
) -> Result<u64, Error> {
    let (writer, actor) = (writer.clone(), actor.clone());
    let changed = tokio::spawn(async move {
        let mut transaction = writer.begin_with("begin immediate").await?;
        // Rows of edits made outside Jeton must not be attributed to this actor.
        seal(&mut transaction, None).await?;
        let mut first = None;
        for statement in statements {
            let rows = statement.execute(&mut *transaction).await?.rows_affected();
            if *first.get_or_insert(rows) == 0 {
                transaction.rollback().await?;
                return Ok(0);
            }
        }
        seal(&mut transaction, Some(&actor)).await?;
        transaction.commit().await?;
        Ok(first.unwrap_or(0))
    });
    changed.await.map_err(|_| Error::internal("a change did not run to completion"))?.map_err(fault)
}

/// Seals the rows of edits that were made outside Jeton.
pub(super) async fn seal_others(writer: &SqlitePool) -> Result<(), Error> {
    let mut transaction = writer.begin_with("begin immediate").await.map_err(fault)?;
    seal(&mut transaction, None).await.map_err(fault)?;
    transaction.commit().await.map_err(fault)
}

/// Seals every row that has no hash: stores its actor and its hash. An edit made outside Jeton may
/// have written text that is not UTF-8. Such text is repaired, which is possible until the row is
/// sealed, because one bad row must not block every later revocation. A row that cannot be read
/// even then stays unsealed, and a verification of the trail reports it.
pub(super) async fn seal(
    connection: &mut SqliteConnection,
    actor: Option<&Actor>,
) -> Result<(), sqlx::Error> {
    let unsealed = sqlx::query(
        "select seq, at, actor, login, action, client, client_id, subject, detail, hash
         from audit where hash = x'' order by seq",
    )
    .fetch_all(&mut *connection)
    .await?;
    let readable = unsealed.iter().filter_map(|row| row::audit_entry(&Mended(row), true).ok());
    let unsealed: Vec<_> = readable.collect();
    if unsealed.is_empty() {
        return Ok(());
    }
    let last =
        sqlx::query("select seq, hash from audit where hash <> x'' order by seq desc limit 1")
            .fetch_optional(&mut *connection)
            .await?;
    let last = last.as_ref().and_then(|row| row::audit_mark(row).ok());
    let mut previous = last.map(|mark| mark.hash);
    for entry in unsealed {
        let entry = match actor {
            Some(actor) if entry.is_routine(actor) => entry.routine(),
            _ => AuditEntry { actor: actor.map(|actor| actor.as_str().to_owned()), ..entry },
        };
        let hash = entry.hash_after(previous);
        sqlx::query(
            "update audit set actor = $1, client = $2, client_id = $3, detail = $4, hash = $5
             where seq = $6",
        )
        .bind(entry.actor)
        .bind(entry.client)
        .bind(entry.client_id)
        .bind(entry.detail)
        .bind(hash.0.to_vec())
        .bind(entry.seq)
        .execute(&mut *connection)
        .await?;
        previous = Some(hash);
    }
    Ok(())
}

pub(super) async fn after(
    executor: impl SqliteExecutor<'_>,
    seq: i64,
    limit: u32,
) -> Result<Vec<Readable<AuditEntry>>, Error> {
    let rows = sqlx::query(
        "select seq, at, actor, login, action, client, client_id, subject, detail, hash
         from audit where seq > $1 order by seq limit $2",
    )
    .bind(seq)
    .bind(limit)
    .fetch_all(executor)
    .await
    .map_err(fault)?;
    Ok(rows.iter().map(entry).collect())
}

pub(super) async fn search(
    pool: &SqlitePool,
    filter: &AuditFilter,
    seqs: RangeInclusive<i64>,
    limit: u32,
) -> Result<Vec<Readable<AuditEntry>>, Error> {
    let AuditFilter { client_id, actor, id, action, since, until } = filter;
    let rows = sqlx::query(
        "select seq, at, actor, login, action, client, client_id, subject, detail, hash
         from audit
         where (seq between $1 and $2 or (seq is null and $2 = 9223372036854775807))
           and ($4 is null or client_id = $4 or client in (
                select id from client where client_id = $4
                union select client from audit where client_id = $4 and client is not null))
           and ($5 is null or actor in ($5, 'operator:' || $5)
                or (actor is null and login = $5)
                or (actor = 'client' and 'client:' || client_id = $5))
           and ($6 is null or action = $6 or substr(action, 1, length($6) + 1) = $6 || '.')
           and ($7 is null or at >= $7)
           and ($8 is null or at < $8)
           and ($9 is null or $9 in (subject, client))
         order by seq desc limit $3",
    )
    .bind(*seqs.start())
    .bind(*seqs.end())
    .bind(limit)
    .bind(client_id.as_ref().map(ClientId::as_str))
    .bind(actor.as_deref())
    .bind(action.as_deref())
    .bind(since.map(Timestamp::unix_micros))
    .bind(until.map(Timestamp::unix_micros))
    .bind(*id)
    .fetch_all(pool)
    .await
    .map_err(fault)?;
    Ok(rows.iter().map(entry).collect())
}

pub(super) async fn head(pool: &SqlitePool) -> Result<Option<AuditMark>, Error> {
    let head =
        sqlx::query("select seq, hash from audit where hash <> x'' order by seq desc limit 1")
            .fetch_optional(pool)
            .await
            .map_err(fault)?;
    Ok(head.as_ref().map(row::audit_mark).transpose()?)
}

/// Deletes rows older than `days` from the start of the trail, but never the last row, and records
/// in the trail where it was cut.
pub(super) async fn forget(writer: &SqlitePool, days: u32, now: Timestamp) -> Result<u64, Error> {
    let day = |days: u32| std::time::Duration::from_hours(24) * days;
    let mut forgotten = 0;
    loop {
        // At most one cut a day, because each cut adds a row.
        let due = now.minus(day(days.saturating_add(1)));
        let cut = cut(writer, due, now.minus(day(days))).await.map_err(fault)?;
        forgotten += cut;
        if cut == 0 {
            return Ok(forgotten);
        }
    }
}

async fn cut(writer: &SqlitePool, due: Timestamp, kept: Timestamp) -> Result<u64, sqlx::Error> {
    let mut transaction = writer.begin_with("begin immediate").await?;
    seal(&mut transaction, None).await?;
    let last = sqlx::query(
        "with ends as (select min(seq) as first, max(seq) as last from audit)
         select audit.seq, audit.hash from audit, ends
         where audit.seq < min(ends.first + $1, ends.last) and audit.at < $2
           and exists (select 1 from audit where audit.seq = ends.first and audit.at < $3)
         order by audit.seq desc limit 1",
    )
    .bind(SLICE)
    .bind(kept.unix_micros())
    .bind(due.unix_micros())
    .fetch_optional(&mut *transaction)
    .await?;
    let Some(Ok(AuditMark { seq, hash })) = last.as_ref().map(row::audit_mark) else {
        return Ok(0);
    };
    sqlx::query("insert into audit (action, detail) values ($1, $2)")
        .bind(AuditEntry::CUT)
        .bind(json!({"seq": seq, "hash": hash.to_string()}).to_string())
        .execute(&mut *transaction)
        .await?;
    seal(&mut transaction, Some(&Actor::node())).await?;
    let removed = sqlx::query("delete from audit where seq <= $1")
        .bind(seq)
        .execute(&mut *transaction)
        .await?
        .rows_affected();
    transaction.commit().await?;
    Ok(removed)
}

/// Rows are sealed at the end of a change or later, so a row may have no hash yet.
fn entry(row: &SqliteRow) -> Readable<AuditEntry> {
    row::audit_entry(row, true)
}
