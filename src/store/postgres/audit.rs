//! The audit trail on Postgres. Triggers write and seal its rows.

use std::ops::RangeInclusive;

use sqlx::{PgConnection, postgres::PgRow};

use super::{fault::fault, moment::Moment};
use crate::{
    domain::{AuditEntry, AuditMark, ClientId, Error},
    store::{AuditFilter, Readable, row},
};

/// Maximum rows that one statement deletes.
const SLICE: i64 = 20_000;

pub(super) async fn after(
    connection: &mut PgConnection,
    seq: i64,
    limit: u32,
) -> Result<Vec<Readable<AuditEntry>>, Error> {
    let rows = sqlx::query(
        "select seq, at, actor, login, action, client, client_id, subject, detail::text as detail,
                hash
         from audit where seq > $1 order by seq limit $2",
    )
    .bind(seq)
    .bind(i64::from(limit))
    .fetch_all(connection)
    .await
    .map_err(fault)?;
    Ok(rows.iter().map(entry).collect())
}

pub(super) async fn search(
    connection: &mut PgConnection,
    filter: &AuditFilter,
    seqs: RangeInclusive<i64>,
    limit: u32,
) -> Result<Vec<Readable<AuditEntry>>, Error> {
    let AuditFilter { client_id, actor, id, action, since, until } = filter;
    let rows = sqlx::query(
        "select seq, at, actor, login, action, client, client_id, subject, detail::text as detail,
                hash
         from audit
         where (seq between $1 and $2 or (seq is null and $2 = 9223372036854775807))
           and ($4::text is null or client_id = $4 or client in (
                select id from client where client_id = $4
                union select client from audit where client_id = $4 and client is not null))
           and ($5::text is null or actor in ($5, 'operator:' || $5)
                or (actor is null and login = $5)
                or (actor = 'client' and 'client:' || client_id = $5))
           and ($6::text is null or action = $6
                or substr(action, 1, length($6) + 1) = $6 || '.')
           and ($7::timestamptz is null or at >= $7)
           and ($8::timestamptz is null or at < $8)
           and ($9::uuid is null or $9 in (subject, client))
         order by seq desc limit $3",
    )
    .bind(*seqs.start())
    .bind(*seqs.end())
    .bind(i64::from(limit))
    .bind(client_id.as_ref().map(ClientId::as_str))
    .bind(actor.as_deref())
    .bind(action.as_deref())
    .bind(since.map(Moment))
    .bind(until.map(Moment))
    .bind(*id)
    .fetch_all(connection)
    .await
    .map_err(fault)?;
    Ok(rows.iter().map(entry).collect())
}

pub(super) async fn head(connection: &mut PgConnection) -> Result<Option<AuditMark>, Error> {
    let head = sqlx::query("select seq, hash from audit order by seq desc limit 1")
        .fetch_optional(connection)
        .await
        .map_err(fault)?;
    Ok(head.as_ref().map(row::audit_mark).transpose()?)
}

/// Deletes rows older than `days`, in slices.
pub(super) async fn forget(connection: &mut PgConnection, days: u32) -> Result<u64, Error> {
    let mut forgotten = 0;
    loop {
        let cut: i64 = sqlx::query_scalar("select cut_audit($1, $2)")
            .bind(i32::try_from(days).unwrap_or(i32::MAX))
            .bind(SLICE)
            .fetch_one(&mut *connection)
            .await
            .map_err(fault)?;
        forgotten += u64::try_from(cut).unwrap_or(0);
        if cut == 0 {
            return Ok(forgotten);
        }
    }
}

/// Rows are sealed when they are written, so every row must have a hash.
fn entry(row: &PgRow) -> Readable<AuditEntry> {
    row::audit_entry(row, false)
}
