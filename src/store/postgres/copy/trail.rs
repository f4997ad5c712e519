//! The audit trail crosses with its rows as they are, and with new hashes: Postgres stores a detail
//! in an order and with spaces of its own, and the hash is over that text.

use serde_json::Value;
use sqlx::PgConnection;

use crate::{
    domain::{AuditEntry, AuditSummary, Error},
    store::{
        EmbeddedSource,
        postgres::{fault::fault, moment::Moment},
    },
};

/// Copies a trail that was verified. The hash of the first row is over that of the row before it,
/// also where that one was cut off.
pub(super) async fn copy(
    connection: &mut PgConnection,
    source: &mut EmbeddedSource,
    verified: &AuditSummary,
) -> Result<(), Error> {
    let mut previous = verified.cut.map(|cut| cut.hash);
    let (mut place, mut written) = (0, 0);
    loop {
        let mut entries = source.trail_after(place).await?;
        let Some(last) = entries.last() else { break };
        place = last.seq;
        let details = as_stored(connection, &entries).await?;
        for (entry, detail) in entries.iter_mut().zip(details) {
            entry.detail = detail;
            previous = Some(entry.hash_after(previous));
            entry.hash = previous;
        }
        written += insert(connection, &entries).await?;
    }
    if written == verified.rows {
        return Ok(());
    }
    Err(Error::internal(format!("{written} of {} rows of the trail were copied", verified.rows)))
}

/// The details as Postgres stores them. A detail that is not JSON, or holds a character that
/// Postgres does not store, is that of an edit by hand. It becomes a text in JSON.
async fn as_stored(
    connection: &mut PgConnection,
    entries: &[AuditEntry],
) -> Result<Vec<String>, Error> {
    let details = entries.iter().map(|entry| match serde_json::from_str::<Value>(&entry.detail) {
        Ok(_) if !entry.detail.contains("\\u0000") => entry.detail.clone(),
        _ => Value::from(entry.detail.as_str()).to_string(),
    });
    sqlx::query_scalar(
        "select detail::jsonb::text
         from unnest($1::text[]) with ordinality as entry (detail, place) order by place",
    )
    .bind(details.collect::<Vec<_>>())
    .fetch_all(connection)
    .await
    .map_err(fault)
}

/// Inserts rows that have their hashes. Returns how many.
async fn insert(connection: &mut PgConnection, entries: &[AuditEntry]) -> Result<u64, Error> {
    fn of<T>(entries: &[AuditEntry], value: impl Fn(&AuditEntry) -> T) -> Vec<T> {
        entries.iter().map(value).collect()
    }
    let inserted = sqlx::query(
        "insert into audit
             (seq, at, actor, login, action, client, client_id, subject, detail, hash)
         select seq, at, actor, login, action, client, client_id, subject, detail::jsonb, hash
         from unnest($1::bigint[], $2::timestamptz[], $3::text[], $4::text[], $5::text[],
                     $6::uuid[], $7::text[], $8::uuid[], $9::text[], $10::bytea[])
             as entry (seq, at, actor, login, action, client, client_id, subject, detail, hash)",
    )
    .bind(of(entries, |entry| entry.seq))
    .bind(of(entries, |entry| Moment(entry.at)))
    .bind(of(entries, |entry| entry.actor.clone()))
    .bind(of(entries, |entry| entry.login.clone()))
    .bind(of(entries, |entry| entry.action.clone()))
    .bind(of(entries, |entry| entry.client))
    .bind(of(entries, |entry| entry.client_id.clone()))
    .bind(of(entries, |entry| entry.subject))
    .bind(of(entries, |entry| entry.detail.clone()))
    .bind(of(entries, |entry| entry.hash.map(|hash| hash.0.to_vec())))
    .execute(connection)
    .await
    .map_err(fault)?;
    Ok(inserted.rows_affected())
}
