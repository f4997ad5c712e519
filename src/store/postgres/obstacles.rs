//! Obstacles to a change on Postgres: nodes with live leases, and sessions that hold locks.

use std::time::Duration;

use sqlx::PgConnection;
use tokio::time::timeout;

use super::{fault::fault, pool::Primary};
use crate::{domain::Error, store::Obstacle};

/// Timeout for reading the list of nodes.
const LOOK: Duration = Duration::from_millis(500);

/// Sessions that hold locks for which sessions of this role wait. Sessions that wait themselves are
/// left out, because they are not the cause.
const SESSIONS: &str = "
    select distinct blocking.pid,
           concat_ws(', ', nullif(blocking.application_name, ''), blocking.usename,
                     blocking.state),
           coalesce(extract(epoch from clock_timestamp() - blocking.xact_start), 0)::float8
    from pg_stat_activity as waiting
    cross join unnest(pg_blocking_pids(waiting.pid)) as blocker
    join pg_stat_activity as blocking on blocking.pid = blocker
    where waiting.datname = current_database() and waiting.usename = session_user
      and cardinality(pg_blocking_pids(blocking.pid)) = 0
    order by blocking.pid limit 3";

pub(super) async fn find(primary: &Primary, lane: usize) -> Result<Vec<Obstacle>, Error> {
    let mut found = on_session!(primary, lane, |connection, _| sessions(connection))?;
    // The table `node` may be the locked one, hence the timeout.
    let nodes = async { on_session!(primary, lane, |connection, _| nodes(connection)) };
    if let Ok(Ok((count, longest))) = timeout(LOOK, nodes).await
        && count > 0
    {
        found.push(Obstacle::Nodes { count, longest: seconds(longest) });
    }
    Ok(found)
}

async fn sessions(connection: &mut PgConnection) -> Result<Vec<Obstacle>, Error> {
    let sessions: Vec<(i32, String, f64)> =
        sqlx::query_as(SESSIONS).fetch_all(connection).await.map_err(fault)?;
    let obstacle = |(pid, name, since)| Obstacle::Session { pid, name, since: seconds(since) };
    Ok(sessions.into_iter().map(obstacle).collect())
}

async fn nodes(connection: &mut PgConnection) -> Result<(i64, f64), Error> {
    sqlx::query_as(
        "select count(*),
                coalesce(max(lease_ms) / 1000.0, 0)::float8
         from node
         where applied < (select max(id) from change)",
    )
    .fetch_one(connection)
    .await
    .map_err(fault)
}

fn seconds(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds).unwrap_or_default()
}
