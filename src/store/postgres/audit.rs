//! The audit trail on Postgres. Triggers write and seal its rows.

use sqlx::{PgConnection, postgres::PgRow};

use super::fault::fault;
use crate::{
    domain::{AuditEntry, AuditMark, ClientId, Error},
    store::{Readable, row},
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

pub(super) async fn last(
    connection: &mut PgConnection,
    client_id: Option<&ClientId>,
    limit: u32,
) -> Result<Vec<Readable<AuditEntry>>, Error> {
    let rows = sqlx::query(
        "select seq, at, actor, login, action, client, client_id, subject, detail::text as detail,
                hash
         from audit where $1::text is null or client_id = $1 order by seq desc limit $2",
    )
    .bind(client_id.map(ClientId::as_str))
    .bind(i64::from(limit))
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
