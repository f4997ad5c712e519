//! Backup and restore on Postgres: the snapshot for a backup, and preparing a restored database.

use std::time::Duration;

use serde_json::Value;
use sqlx::{Connection, PgConnection};

use super::{PostgresStore, fault::fault, moment::Moment, pool::Primary, schema};
use crate::{
    domain::{Actor, AuditEntry, Error, Timestamp},
    store::{Finished, Holdings, migrate::SchemaError, row},
};

/// Maximum wait for leases to expire. A lease is at most 4 s long, but a row edited by hand may
/// claim more.
const LONGEST_LEASE: Duration = Duration::from_secs(10);

/// An exported snapshot of the database. Other sessions can read the same state while this value
/// exists.
pub struct Snapshot {
    connection: PgConnection,
    /// Name with which other sessions import the snapshot.
    pub name: String,
    /// Version number of the server: 150004 for 15.4.
    pub server: i32,
    /// Row counts in the snapshot.
    pub holdings: Holdings,
}

impl Snapshot {
    /// Ends the snapshot.
    ///
    /// # Errors
    /// The errors of [`crate::store::Store`].
    pub async fn close(self) -> Result<(), Error> {
        self.connection.close().await.map_err(fault)
    }
}

impl PostgresStore {
    /// Takes a snapshot of a database whose schema is up to date.
    ///
    /// # Errors
    /// The errors of [`crate::store::Store`].
    pub async fn snapshot(&self) -> Result<Snapshot, Error> {
        let mut connection = self.primary.connect().await?;
        sqlx::raw_sql(
            "begin isolation level repeatable read read only;
             set local statement_timeout = 0;
             set local idle_in_transaction_session_timeout = 0",
        )
        .execute(&mut connection)
        .await
        .map_err(fault)?;
        let (name, server) = sqlx::query_as(
            "select pg_export_snapshot(), current_setting('server_version_num')::integer",
        )
        .fetch_one(&mut connection)
        .await
        .map_err(fault)?;
        let holdings = count(&mut connection).await?;
        Ok(Snapshot { connection, name, server, holdings })
    }

    /// Refuses a backup whose schema is later than this binary knows, or that has no schema
    /// version.
    ///
    /// # Errors
    /// `SchemaError::Newer` or `SchemaError::Missing`.
    pub fn refuse_unknown(schema: i64) -> Result<(), SchemaError> {
        schema::refuse_unknown(schema)
    }

    /// Returns the version number of the server if the database is empty, otherwise the names of
    /// its tables, views and sequences.
    ///
    /// # Errors
    /// The errors of [`crate::store::SchemaStore::check_schema`].
    pub async fn empty_server(&self) -> Result<Result<i32, Vec<String>>, SchemaError> {
        let mut connection = schema::connect(&self.primary).await?;
        let (server, found): (i32, Vec<String>) = sqlx::query_as(
            "select current_setting('server_version_num')::integer,
                    array(select pg_class.oid::regclass::text from pg_class
                          join pg_namespace on pg_namespace.oid = relnamespace
                          where nspname !~ '^pg_' and nspname <> 'information_schema'
                            and relkind in ('r', 'p', 'v', 'm', 'S', 'f') and not relispartition
                            and not exists (select from pg_depend
                                            where objid = pg_class.oid and deptype = 'e')
                          order by 1)",
        )
        .fetch_one(&mut connection)
        .await
        .map_err(fault)?;
        connection.close().await.map_err(fault)?;
        Ok(if found.is_empty() { Ok(server) } else { Err(found) })
    }
}

/// Time of the newest row. Infinite moments, which may have been written by hand, are skipped.
const NEWEST: &str = "
    select max(moment) from (
        select max(created_at) as moment from client where isfinite(created_at)
        union all select max(created_at) from client_secret where isfinite(created_at)
        union all select max(revoked_at) from revoked_token where isfinite(revoked_at)
        union all (select issued_at from access_token where isfinite(issued_at)
                   order by id desc limit 1)
        union all (select at from audit where isfinite(at) order by seq desc limit 1)) as moments";

/// Counts the rows of the database.
pub(super) async fn count(connection: &mut PgConnection) -> Result<Holdings, Error> {
    type Counts = (i64, i64, i64, i64, i64, i64);
    let (schema, clients, secrets, tokens, revocations, audit): Counts = sqlx::query_as(
        "select (select max(version) from _sqlx_migrations where success),
                (select count(*) from client), (select count(*) from client_secret),
                (select count(*) from access_token), (select count(*) from revoked_token),
                (select count(*) from audit)",
    )
    .fetch_one(&mut *connection)
    .await
    .map_err(fault)?;
    let newest: Option<Moment> =
        sqlx::query_scalar(NEWEST).fetch_one(&mut *connection).await.map_err(fault)?;
    let head = sqlx::query("select seq, hash from audit order by seq desc limit 1")
        .fetch_optional(connection)
        .await
        .map_err(fault)?;
    let mark = head.and_then(|head| row::audit_mark(&head).ok());
    let newest = newest.map(|Moment(newest)| newest);
    Ok(Holdings { schema, clients, secrets, tokens, revocations, audit, newest, mark })
}

/// Revokes all earlier tokens, resets the change feed and records this in the audit trail, all in
/// one transaction. Returns once no earlier lease runs any more.
pub(super) async fn finish(primary: &Primary, actor: &Actor) -> Result<Finished, Error> {
    let connection = primary.connect().await?;
    // Runs to completion even if the caller goes away.
    let finishing = tokio::spawn(in_one_transaction(connection, actor.clone()));
    let (finished, lease) =
        finishing.await.map_err(|_| Error::internal("a restore did not run to completion"))??;
    // A connected node may use its cache until its lease expires, unless the feed invalidates the
    // whole cache before.
    tokio::time::sleep(lease.min(LONGEST_LEASE)).await;
    Ok(finished)
}

async fn in_one_transaction(
    mut connection: PgConnection,
    actor: Actor,
) -> Result<(Finished, Duration), Error> {
    let mut transaction = connection.begin().await.map_err(fault)?;
    sqlx::raw_sql("set local statement_timeout = 0")
        .execute(&mut *transaction)
        .await
        .map_err(fault)?;
    sqlx::query("select set_config('jeton.actor', $1, true)")
        .bind(actor.as_str())
        .execute(&mut *transaction)
        .await
        .map_err(fault)?;
    let found = count(&mut transaction).await?;
    forget_what_followed(&mut transaction, found.newest).await.map_err(fault)?;
    let lease = begin_feed_anew(&mut transaction).await.map_err(fault)?;
    let (not_before, now) = invalidate_tokens(&mut transaction).await?;
    let lost = found.newest.map(|newest| now.since(newest));
    let finished = Finished { found, not_before, lost };
    // The trigger writes a row of its own, `installation.update`, for the changed columns. This row
    // gives the reason.
    sqlx::query("select record_audit($1, null, null, null, $2)")
        .bind(AuditEntry::RESTORE)
        .bind::<Value>(finished.detail())
        .execute(&mut *transaction)
        .await
        .map_err(fault)?;
    transaction.commit().await.map_err(fault)?;
    connection.close().await.map_err(fault)?;
    Ok((finished, lease))
}

/// Revokes all tokens issued before a restore. This is the only function that does so. The clock of
/// the node that issued the newest token may have been ahead. Returns `not_before` and the time of
/// the database.
async fn invalidate_tokens(connection: &mut PgConnection) -> Result<(Timestamp, Timestamp), Error> {
    let moments: Option<(Moment, Moment)> = sqlx::query_as(
        "update installation set generation = generation + 1, not_before = greatest(
             not_before, clock_timestamp(),
             (select max(issued_at) + interval '1 microsecond' from access_token
              where issued_at between clock_timestamp() and clock_timestamp() + interval '1 hour'))
         returning not_before, clock_timestamp()",
    )
    .fetch_optional(connection)
    .await
    .map_err(fault)?;
    let (Moment(not_before), Moment(now)) =
        moments.ok_or_else(|| Error::internal("the table installation has no row"))?;
    Ok((not_before, now))
}

/// Nothing is known of the uses of secrets between the backup and now.
async fn forget_what_followed(
    connection: &mut PgConnection,
    newest: Option<Timestamp>,
) -> Result<(), sqlx::Error> {
    sqlx::query("insert into evidence_gap (since, until) values ($1, clock_timestamp())")
        .bind(Moment(newest.unwrap_or(Timestamp::MIN)))
        .execute(connection)
        .await?;
    Ok(())
}

/// Empties the change feed and the list of leases. Returns the length of the longest lease. The ids
/// continue from the current time in microseconds. Without a million changes per second the earlier
/// feed cannot have reached that id, so no node mistakes this feed for the one it followed.
async fn begin_feed_anew(connection: &mut PgConnection) -> Result<Duration, sqlx::Error> {
    let lease: Option<f64> = sqlx::query_scalar(
        "with gone as (delete from node returning lease_ms)
         select (max(lease_ms) / 1000.0)::float8 from gone",
    )
    .fetch_one(&mut *connection)
    .await?;
    sqlx::query("delete from change").execute(&mut *connection).await?;
    sqlx::query(
        "select setval('change_id_seq', greatest(
             (select last_value from change_id_seq),
             (extract(epoch from clock_timestamp()) * 1000000)::bigint))",
    )
    .execute(connection)
    .await?;
    Ok(lease.and_then(|lease| Duration::try_from_secs_f64(lease).ok()).unwrap_or_default())
}
