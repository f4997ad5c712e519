//! Partitions of the token table: made ahead, dropped whole once their newest token is dead.
//!
//! A partition holds the tokens of six hours, by the time that is in their ids. Hours would make
//! some forty live partitions, whose locks every generic plan takes; days would keep twice the
//! dead rows. Partitions stand ready on both sides of the present, so that a node whose clock is
//! ahead or behind by hours still issues.

use sqlx::{AssertSqlSafe, Connection, PgConnection};
use std::{collections::BTreeSet, time::Duration};
use time::OffsetDateTime;
use uuid::{Builder, Uuid};

use super::{fault::fault, moment::Moment};
use crate::{
    domain::{Cause, Error, Timestamp, TokenLifetime},
    store::Upkeep,
};

const WIDTH_SECONDS: i64 = 6 * 3_600;

/// How many partitions stand ready before and after the present one.
const BEHIND: i64 = 1;
const AHEAD: i64 = 4;

/// How much longer a partition is kept than its newest token can live, for clocks that differ.
const GRACE: Duration = Duration::from_hours(1);

/// One after the other: two nodes that made the same partition at once would collide.
const LOCK: &str = "select pg_advisory_xact_lock(7160834520117)";

/// A DROP waits for the readers of the whole table and lets others wait behind it, so it gives up
/// soon and is tried again in the next round.
const PATIENCE: &str = "set local lock_timeout = '200ms'";

/// Makes the partitions that are missing, drops the dead ones, forgets old revocations.
pub(super) async fn upkeep(connection: &mut PgConnection, now: Timestamp) -> Result<Upkeep, Error> {
    let (partitions_made, standing, database_now) = make_missing(connection, now).await?;
    let mut done = Upkeep { partitions_made, ..Upkeep::default() };
    // Triggers that somebody disabled, and partitions that somebody else attached.
    sqlx::query("select keep_announcing()").execute(&mut *connection).await.map_err(fault)?;

    // A partition is dead only by both clocks: one that is ahead must not take living tokens away.
    for start in standing {
        let kept = TokenLifetime::MAX.duration() + GRACE;
        let end = Timestamp::from_unix_micros((start + WIDTH_SECONDS) * 1_000_000);
        if end.plus(kept) < database_now.min(now) && drop_partition(connection, start).await? {
            done.partitions_dropped += 1;
        }
    }
    done.revocations_forgotten = sqlx::query(
        "delete from revoked_token where keep_until < least(now(), $1) - interval '1 hour'",
    )
    .bind(Moment(now))
    .execute(connection)
    .await
    .map_err(fault)?
    .rows_affected();
    Ok(done)
}

/// Makes the partitions that are missing.
pub(super) async fn make(connection: &mut PgConnection, now: Timestamp) -> Result<(), Error> {
    make_missing(connection, now).await.map(drop)
}

/// Whether a statement failed because there is no partition for a token.
pub(super) fn is_missing(cause: &Cause) -> bool {
    const CHECK_VIOLATION: &str = "23514";
    let error = cause.downcast_ref::<sqlx::Error>().and_then(sqlx::Error::as_database_error);
    error.is_some_and(|error| {
        error.code().as_deref() == Some(CHECK_VIOLATION) && error.constraint().is_none()
    })
}

async fn make_missing(
    connection: &mut PgConnection,
    now: Timestamp,
) -> Result<(u32, BTreeSet<i64>, Timestamp), Error> {
    let mut transaction = connection.begin().await.map_err(fault)?;
    sqlx::query(LOCK).execute(&mut *transaction).await.map_err(fault)?;
    let (standing, database_now) = standing(&mut transaction).await?;
    let (present, mut made) = (start_of(now), 0);
    for step in -BEHIND..=AHEAD {
        let start = present + step * WIDTH_SECONDS;
        if !standing.contains(&start) {
            make_one(&mut transaction, start).await.map_err(fault)?;
            made += 1;
        }
    }
    transaction.commit().await.map_err(fault)?;
    Ok((made, standing, database_now))
}

/// The starts of the partitions that exist, and the database's time.
async fn standing(connection: &mut PgConnection) -> Result<(BTreeSet<i64>, Timestamp), Error> {
    let names: Vec<String> = sqlx::query_scalar(
        "select relname::text from pg_inherits join pg_class on pg_class.oid = inhrelid
         where inhparent = 'access_token'::regclass",
    )
    .fetch_all(&mut *connection)
    .await
    .map_err(fault)?;
    let Moment(now) =
        sqlx::query_scalar("select now()").fetch_one(connection).await.map_err(fault)?;
    let starts = names.iter().filter_map(|name| start_in(name)).collect();
    Ok((starts, now))
}

/// Makes a table and attaches it, which lets readers and writers go on meanwhile; making it as a
/// partition at once would lock them out.
async fn make_one(connection: &mut PgConnection, start: i64) -> Result<(), sqlx::Error> {
    let name = name_of(start);
    let (from, to) = (lower_bound(start), lower_bound(start + WIDTH_SECONDS));
    let statements = [
        format!("create table {name} (like access_token including all)"),
        format!(
            "alter table access_token attach partition {name} \
             for values from ('{from}') to ('{to}')"
        ),
        format!("select announce_partition_writes('{name}')"),
    ];
    for statement in statements {
        sqlx::query(AssertSqlSafe(statement)).execute(&mut *connection).await?;
    }
    Ok(())
}

/// Drops one partition. False if others used it or a node was quicker.
async fn drop_partition(connection: &mut PgConnection, start: i64) -> Result<bool, Error> {
    const LOCK_NOT_AVAILABLE: &str = "55P03";
    let mut transaction = connection.begin().await.map_err(fault)?;
    sqlx::query(PATIENCE).execute(&mut *transaction).await.map_err(fault)?;
    let statement = format!("drop table if exists {}", name_of(start));
    match sqlx::query(AssertSqlSafe(statement)).execute(&mut *transaction).await {
        Ok(_) => transaction.commit().await.map(|()| true).map_err(fault),
        Err(sqlx::Error::Database(error))
            if error.code().as_deref() == Some(LOCK_NOT_AVAILABLE) =>
        {
            Ok(false)
        }
        Err(error) => Err(fault(error)),
    }
}

/// The start of the partition in which a token of this moment lies, in seconds since 1970.
fn start_of(now: Timestamp) -> i64 {
    now.unix_seconds().div_euclid(WIDTH_SECONDS) * WIDTH_SECONDS
}

/// `access_token_20261123t06`: what a person would look for.
fn name_of(start: i64) -> String {
    let moment = OffsetDateTime::from_unix_timestamp(start).unwrap_or(OffsetDateTime::UNIX_EPOCH);
    let (year, month, day) = moment.to_calendar_date();
    format!("access_token_{year:04}{:02}{day:02}t{:02}", u8::from(month), moment.hour())
}

/// Reads the start back from a name; none for a table that is not ours to drop.
fn start_in(name: &str) -> Option<i64> {
    let (date, hour) = name.strip_prefix("access_token_")?.split_once('t')?;
    let (year, rest) = date.split_at_checked(4)?;
    let (month, day) = rest.split_at_checked(2)?;
    let month = time::Month::try_from(month.parse::<u8>().ok()?).ok()?;
    let date = time::Date::from_calendar_date(year.parse().ok()?, month, day.parse().ok()?).ok()?;
    let start = date.with_hms(hour.parse().ok()?, 0, 0).ok()?.assume_utc().unix_timestamp();
    (name_of(start) == name).then_some(start)
}

/// The smallest uuid of a second: its time, and nothing behind it.
fn lower_bound(start: i64) -> Uuid {
    let millis = u64::try_from(start).unwrap_or(0) * 1_000;
    let with_time = Builder::from_unix_timestamp_millis(millis, &[0; 10]).into_uuid();
    Uuid::from_u128(with_time.as_u128() >> 80 << 80)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{SeededRandom, uuid_v7};

    #[test]
    fn a_name_reads_back_as_its_start() {
        let start = start_of(Timestamp::from_unix_micros(1_795_426_000_000_000));
        assert_eq!(name_of(start), "access_token_20261123t06");
        assert_eq!(start_in(&name_of(start)), Some(start));
        for other in ["access_token_default", "access_token_20261123t6", "client", "access_token_"]
        {
            assert_eq!(start_in(other), None, "{other}");
        }
    }

    #[test]
    fn an_id_lies_between_the_bounds_of_its_partition() {
        let random = SeededRandom::default();
        for micros in [1_795_426_000_000_000, 1_795_413_600_000_000, 1_795_413_599_999_999] {
            let now = Timestamp::from_unix_micros(micros);
            let (id, start) = (uuid_v7(now, &random).unwrap(), start_of(now));
            assert!(lower_bound(start) <= id && id < lower_bound(start + WIDTH_SECONDS));
        }
    }
}
