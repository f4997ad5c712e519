//! Partitions of the token table: made ahead, dropped whole once their newest token is dead.
//!
//! A partition holds the tokens of six hours, by the time that is in their ids. Hours would make
//! some forty live partitions, whose locks every generic plan takes; days would keep twice the
//! dead rows. Partitions stand ready on both sides of the present, so that a node whose clock is
//! ahead or behind by hours still issues.
//!
//! Functions of the schema do all of it (migration 8), so that a node needs no rights on the table
//! but to read and to insert.

use sqlx::PgConnection;

use super::{fault::fault, moment::Moment};
use crate::{
    domain::{Error, SharedCause, Timestamp},
    store::Upkeep,
};

/// Makes the partitions that are missing, drops the dead ones, forgets old revocations.
pub(super) async fn upkeep(connection: &mut PgConnection, now: Timestamp) -> Result<Upkeep, Error> {
    let made = count(connection, "select make_partitions($1)", now).await?;
    let mut done =
        Upkeep { partitions_made: u32::try_from(made).unwrap_or(u32::MAX), ..Upkeep::default() };
    // Triggers that somebody disabled, and partitions that somebody else attached.
    sqlx::query("select keep_announcing()").execute(&mut *connection).await.map_err(fault)?;
    // One partition a call: a drop keeps everybody from the whole table until its commit.
    while count(connection, "select drop_dead_partitions($1)", now).await? > 0 {
        done.expired_batches_removed += 1;
    }
    loop {
        let forgotten = count(connection, "select forget_revocations($1)", now).await?;
        done.revocations_forgotten += forgotten;
        if forgotten == 0 {
            return Ok(done);
        }
    }
}

/// Makes the partitions that are missing around the clocks of this node and of the database.
pub(super) async fn make(connection: &mut PgConnection, now: Timestamp) -> Result<(), Error> {
    count(connection, "select make_partitions($1)", now).await.map(drop)
}

/// Whether a statement failed because there is no partition for a token.
pub(super) fn is_missing(cause: &SharedCause) -> bool {
    const CHECK_VIOLATION: &str = "23514";
    let error = cause.downcast_ref::<sqlx::Error>().and_then(sqlx::Error::as_database_error);
    error.is_some_and(|error| {
        error.code().as_deref() == Some(CHECK_VIOLATION) && error.constraint().is_none()
    })
}

/// What a function says that it has done, by the clock of this node and that of the database.
async fn count(
    connection: &mut PgConnection,
    call: &'static str,
    now: Timestamp,
) -> Result<u64, Error> {
    let done: i64 =
        sqlx::query_scalar(call).bind(Moment(now)).fetch_one(connection).await.map_err(fault)?;
    Ok(u64::try_from(done).unwrap_or(0))
}
