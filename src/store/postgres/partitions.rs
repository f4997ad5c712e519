//! Partitions of the token table. They are created ahead, and dropped whole once their newest token
//! has expired.
//!
//! A partition holds the tokens of six hours, by the time in their ids. Partitions of one hour
//! would mean about forty live ones, all of which every generic plan locks. Partitions of a day
//! would keep twice as many expired rows. Partitions exist before and after the current time, so a
//! node whose clock is hours ahead or behind can still issue tokens.
//!
//! Functions of the schema do all of this (migration 8), so a node needs only the privileges to
//! select from the table and to insert into it.

use sqlx::PgConnection;

use super::{fault::fault, moment::Moment};
use crate::{
    domain::{Error, SharedCause, Timestamp},
    store::{Sizes, Upkeep, driver_error::DriverError},
};

/// Creates missing partitions, drops expired ones, deletes old revocations, and measures what is
/// left.
pub(super) async fn upkeep(connection: &mut PgConnection, now: Timestamp) -> Result<Upkeep, Error> {
    let made = count(connection, "select make_partitions($1)", now).await?;
    let mut done =
        Upkeep { partitions_made: u32::try_from(made).unwrap_or(u32::MAX), ..Upkeep::default() };
    // Enables triggers again that were disabled, and adds them to partitions attached by hand.
    sqlx::query("select keep_announcing()").execute(&mut *connection).await.map_err(fault)?;
    // One partition per call, because a drop locks the whole table until it commits.
    while count(connection, "select drop_dead_partitions($1)", now).await? > 0 {
        done.expired_partitions_dropped += 1;
    }
    loop {
        let forgotten = count(connection, "select forget_revocations($1)", now).await?;
        done.revocations_forgotten += forgotten;
        if forgotten == 0 {
            break;
        }
    }
    done.sizes = sizes(connection).await?;
    Ok(done)
}

/// Sizes as the file system has them. A partition that is dropped meanwhile counts for nothing.
async fn sizes(connection: &mut PgConnection) -> Result<Sizes, Error> {
    let (database, tokens, audit): (i64, i64, i64) = sqlx::query_as(
        "select pg_database_size(current_database()),
                (select coalesce(sum(pg_total_relation_size(inhrelid)), 0)::bigint
                 from pg_inherits where inhparent = 'access_token'::regclass),
                coalesce(pg_total_relation_size('audit'::regclass), 0)",
    )
    .fetch_one(connection)
    .await
    .map_err(fault)?;
    let [database, tokens, audit] =
        [database, tokens, audit].map(|size| u64::try_from(size).unwrap_or(0));
    Ok(Sizes { database, tokens: Some(tokens), audit: Some(audit) })
}

/// Creates missing partitions around the clocks of this node and of the database.
pub(super) async fn make(connection: &mut PgConnection, now: Timestamp) -> Result<(), Error> {
    count(connection, "select make_partitions($1)", now).await.map(drop)
}

/// Whether a statement failed because a token has no partition.
pub(super) fn is_missing(cause: &SharedCause) -> bool {
    const CHECK_VIOLATION: &str = "23514";
    let error = DriverError::behind(cause.as_ref()).and_then(sqlx::Error::as_database_error);
    error.is_some_and(|error| {
        error.code().as_deref() == Some(CHECK_VIOLATION) && error.constraint().is_none()
    })
}

/// Calls a function of the schema, which uses the clocks of this node and of the database. Returns
/// the count of its changes.
async fn count(
    connection: &mut PgConnection,
    call: &'static str,
    now: Timestamp,
) -> Result<u64, Error> {
    let done: i64 =
        sqlx::query_scalar(call).bind(Moment(now)).fetch_one(connection).await.map_err(fault)?;
    Ok(u64::try_from(done).unwrap_or(0))
}
