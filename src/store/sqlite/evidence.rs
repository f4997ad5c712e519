//! Evidence of the use of secrets on SQLite. There is no list of nodes: a node that does not write
//! when it is due counts as gone.

use std::time::Duration;

use serde_json::{Value, json};
use sqlx::SqlitePool;
use uuid::Uuid;

use super::{audit::Statement, clients, fault::fault, tokens::hex};
use crate::{
    domain::{ClientId, Error, SecretId, SecretUse, Timestamp},
    store::{Readable, StoredEvidence, UnusedClient, columns, row},
};

/// Announces a node that counts uses. Returns the id with which it writes.
pub(super) async fn begin(
    writer: &SqlitePool,
    now: Timestamp,
    due: Duration,
) -> Result<Uuid, Error> {
    let id = sqlx::query_scalar(
        "insert into evidence (recorder, since, flushed_at, due_at)
         values (randomblob(16), $1, $1, $2) returning recorder",
    )
    .bind(now.unix_micros())
    .bind(now.plus(due).unix_micros())
    .fetch_one(writer)
    .await
    .map_err(fault)?;
    sqlx::query("update evidence_gap set until = $1 where until = $2")
        .bind(now.unix_micros())
        .bind(i64::MAX)
        .execute(writer)
        .await
        .map_err(fault)?;
    Ok(id)
}

/// Adds uses and their sources, in one transaction.
pub(super) async fn record(
    writer: &SqlitePool,
    uses: &[(SecretId, SecretUse)],
) -> Result<(), Error> {
    let rows: Vec<_> = uses.iter().map(use_json).collect();
    let sources: Vec<_> = uses.iter().flat_map(source_json).collect();
    let (rows, sources) = (Value::Array(rows).to_string(), Value::Array(sources).to_string());
    let statements = vec![
        sqlx::query(RECORD_USES).bind(rows),
        sqlx::query(RECORD_SOURCES).bind(sources.clone()),
        sqlx::query(KEEP_NEWEST_SOURCES)
            .bind(sources)
            .bind(i64::try_from(SecretUse::MOST_SOURCES).unwrap_or(i64::MAX)),
    ];
    all(writer, statements).await
}

const RECORD_USES: &str = "
    insert into secret_use (secret, first_used_at, last_used_at, last_source, uses, refused,
                            last_refused_at, last_refused_source)
    select unhex(value ->> 'secret'), value ->> 'first', value ->> 'last', value ->> 'source',
           value ->> 'uses', value ->> 'refused', value ->> 'last_refusal',
           value ->> 'refused_source'
    from json_each($1)
    where exists (select 1 from client_secret where id = unhex(value ->> 'secret'))
    on conflict (secret) do update
    set first_used_at = min(coalesce(first_used_at, excluded.first_used_at),
                            coalesce(excluded.first_used_at, first_used_at)),
        last_used_at = max(coalesce(last_used_at, excluded.last_used_at),
                           coalesce(excluded.last_used_at, last_used_at)),
        last_source = iif(last_used_at is null or excluded.last_used_at >= last_used_at,
                          excluded.last_source, last_source),
        uses = min(uses, 9223372036854775807 - excluded.uses) + excluded.uses,
        refused = min(refused, 9223372036854775807 - excluded.refused) + excluded.refused,
        last_refused_at = max(coalesce(last_refused_at, excluded.last_refused_at),
                              coalesce(excluded.last_refused_at, last_refused_at)),
        last_refused_source = iif(
            last_refused_at is null or excluded.last_refused_at >= last_refused_at,
            excluded.last_refused_source, last_refused_source)";

const RECORD_SOURCES: &str = "
    insert into secret_source (secret, source, first_used_at, last_used_at, uses)
    select unhex(value ->> 'secret'), value ->> 'source', value ->> 'first', value ->> 'last',
           value ->> 'uses'
    from json_each($1)
    where exists (select 1 from client_secret where id = unhex(value ->> 'secret'))
    on conflict (secret, source) do update
    set first_used_at = min(first_used_at, excluded.first_used_at),
        last_used_at = max(last_used_at, excluded.last_used_at),
        uses = min(uses, 9223372036854775807 - excluded.uses) + excluded.uses";

const KEEP_NEWEST_SOURCES: &str = "
    delete from secret_source where (secret, source) in (
        select secret, source
        from (select secret, source,
                     row_number() over (partition by secret
                                        order by last_used_at desc, source) as place
              from secret_source
              where secret in (select unhex(value ->> 'secret') from json_each($1)))
        where place > $2)";

fn use_json((secret, uses): &(SecretId, SecretUse)) -> Value {
    json!({
        "secret": hex(secret.0.as_bytes()),
        "first": uses.used.map(|used| used.first.unix_micros()),
        "last": uses.used.map(|used| used.last.unix_micros()),
        "source": uses.last_source,
        "uses": uses.uses,
        "refused": uses.refused,
        "last_refusal": uses.last_refused_at.map(Timestamp::unix_micros),
        "refused_source": uses.last_refused_source,
    })
}

fn source_json((secret, uses): &(SecretId, SecretUse)) -> impl Iterator<Item = Value> {
    let secret = hex(secret.0.as_bytes());
    uses.sources.iter().map(move |source| {
        json!({
            "secret": secret,
            "source": source.source,
            "first": source.used.first.unix_micros(),
            "last": source.used.last.unix_micros(),
            "uses": source.uses,
        })
    })
}

/// Declares that everything counted until `flushed_at` was added, and turns nodes that are overdue
/// into gaps.
pub(super) async fn mark(
    writer: &SqlitePool,
    recorder: Uuid,
    flushed_at: Timestamp,
    due: Duration,
    lost_since: Option<Timestamp>,
) -> Result<(), Error> {
    let now = flushed_at.unix_micros();
    let mut statements = vec![
        sqlx::query(
            "insert into evidence (recorder, since, flushed_at, due_at) values ($1, $2, $2, $3)
             on conflict (recorder) do update
             set flushed_at = excluded.flushed_at, due_at = excluded.due_at",
        )
        .bind(recorder)
        .bind(now)
        .bind(flushed_at.plus(due).unix_micros()),
        sqlx::query(
            "insert into evidence_gap (since, until)
             select flushed_at, $1 from evidence where due_at < $1 on conflict do nothing",
        )
        .bind(now),
        sqlx::query("delete from evidence where due_at < $1").bind(now),
    ];
    if let Some(lost_since) = lost_since {
        statements.push(
            sqlx::query(
                "insert into evidence_gap (since, until) values ($1, $2) on conflict do nothing",
            )
            .bind(lost_since.unix_micros())
            .bind(now),
        );
    }
    all(writer, statements).await
}

/// Removes a node that has written everything.
pub(super) async fn end(writer: &SqlitePool, recorder: Uuid) -> Result<(), Error> {
    sqlx::query("delete from evidence where recorder = $1")
        .bind(recorder)
        .execute(writer)
        .await
        .map_err(fault)?;
    Ok(())
}

/// Reads gaps and nodes.
pub(super) async fn read(pool: &SqlitePool, now: Timestamp) -> Result<StoredEvidence, Error> {
    let rows = sqlx::query(
        "select 'gap' as kind, since, until, 0 as is_there from evidence_gap
         union all
         select 'counting', flushed_at, null, due_at >= $1 from evidence",
    )
    .bind(now.unix_micros())
    .fetch_all(pool)
    .await
    .map_err(fault)?;
    let (gaps, recorders) = row::evidence(&rows);
    Ok(StoredEvidence { now, gaps, recorders })
}

pub(super) async fn uses(
    pool: &SqlitePool,
    client_id: &ClientId,
) -> Result<Vec<(SecretId, Readable<SecretUse>)>, Error> {
    let uses = sqlx::query(columns::SECRET_USES)
        .bind(client_id.as_str())
        .fetch_all(pool)
        .await
        .map_err(fault)?;
    let sources = sqlx::query(columns::SECRET_SOURCES)
        .bind(client_id.as_str())
        .fetch_all(pool)
        .await
        .map_err(fault)?;
    Ok(row::secret_uses(&uses, &sources))
}

pub(super) async fn last_uses(
    pool: &SqlitePool,
    secrets: &[SecretId],
) -> Result<Vec<(SecretId, Timestamp)>, Error> {
    let ids: Vec<_> = secrets.iter().map(|secret| hex(secret.0.as_bytes())).collect();
    let rows = sqlx::query(
        "select secret, last_used_at from secret_use
         where secret in (select unhex(value) from json_each($1)) and last_used_at is not null",
    )
    .bind(json!(ids).to_string())
    .fetch_all(pool)
    .await
    .map_err(fault)?;
    Ok(rows.iter().filter_map(|row| row::last_use(row).ok()).collect())
}

pub(super) async fn unused(
    pool: &SqlitePool,
    since: Timestamp,
    after: Option<&ClientId>,
    limit: u32,
) -> Result<Vec<Option<UnusedClient>>, Error> {
    let rows = sqlx::query(columns::unused_clients!("client.client_id"))
        .bind(since.unix_micros())
        .bind(after.map_or("", ClientId::as_str))
        .bind(limit)
        .fetch_all(pool)
        .await
        .map_err(fault)?;
    Ok(rows.iter().map(|row| row::unused_client(row).ok()).collect())
}

/// Removes what is kept for second thoughts and is old, and the uses of secrets that were deleted
/// and cannot come back.
pub(super) async fn forget(writer: &SqlitePool, now: Timestamp) -> Result<(), Error> {
    let before = |hours| now.minus(Duration::from_hours(hours)).unix_micros();
    let statements = vec![
        sqlx::query("delete from request where at < $1").bind(before(24)),
        sqlx::query("delete from deleted_client where deleted_at < $1").bind(before(30 * 24)),
        clients::forget_kept_hashes(None, now),
        sqlx::query(
            "delete from secret_source
             where not exists (select 1 from client_secret where id = secret)
               and hex(secret) not in (select value ->> '$.id' from deleted_client,
                                       json_each(deleted_client.secrets))",
        ),
        sqlx::query(
            "delete from secret_use
             where not exists (select 1 from client_secret where id = secret)
               and hex(secret) not in (select value ->> '$.id' from deleted_client,
                                       json_each(deleted_client.secrets))",
        ),
    ];
    all(writer, statements).await
}

/// Runs statements in one transaction. It runs to completion even if the caller goes away, because
/// the only connection for writing must not be left inside a transaction.
async fn all(writer: &SqlitePool, statements: Vec<Statement>) -> Result<(), Error> {
    let writer = writer.clone();
    let done = tokio::spawn(async move {
        let mut transaction = writer.begin_with("begin immediate").await?;
        for statement in statements {
            statement.execute(&mut *transaction).await?;
        }
        transaction.commit().await
    });
    done.await.map_err(|_| Error::internal("a write did not run to completion"))?.map_err(fault)
}
