//! A session on Postgres: opened, set up, and checked to be on a primary.
//!
//! A database address can lead to a standby, to a server that an administrator made read-only, or
//! to another installation. A node that reads from one of these would answer from outdated data
//! without noticing. So every session is checked before its first use, and the settings that
//! correctness depends on are set explicitly.

use std::time::{Duration, Instant};

use sqlx::{Connection, PgConnection, Row, postgres::PgConnectOptions};
use time::OffsetDateTime;
use tokio::{sync::OwnedSemaphorePermit, time::timeout};

use super::fault::fault;
use crate::{
    domain::{Error, Timestamp},
    store::ServerProcess,
};

/// Timeout of a ping. A session that does not answer in time is abandoned.
const PING: Duration = Duration::from_millis(250);

/// Sets up a session and describes it, in one round trip.
///
/// `statement_timeout` ends a statement that hangs. It is far above what any statement needs.
/// `lock_timeout` complements it, because deferred triggers run at the commit, which the statement
/// timeout does not cover. An isolation level above read committed would fail one of two concurrent
/// revocations. `synchronous_commit` is raised to `on` where it is weaker, because an acknowledged
/// commit must survive a crash. The search path is reduced to the schema that holds the tables,
/// with temporary tables last, so that no name resolves to anything else.
const SET_UP: &str = "
    select set_config('statement_timeout', '5s', false),
           set_config('lock_timeout', '2s', false),
           set_config('idle_in_transaction_session_timeout', '5s', false),
           set_config('default_transaction_isolation', 'read committed', false),
           set_config('default_transaction_deferrable', 'off', false),
           set_config('search_path', quote_ident(coalesce(
               (select schema.name
                from unnest(current_schemas(false)) with ordinality as schema (name, place)
                where to_regclass(quote_ident(schema.name) || '.installation') is not null
                order by schema.place limit 1),
               current_schema(), 'public')) || ', pg_temp', false),
           current_setting('synchronous_commit') as asked_durability,
           case when current_setting('synchronous_commit') in ('off', 'local', 'remote_write')
                then set_config('synchronous_commit', 'on', false)
                else current_setting('synchronous_commit') end as durability,
           current_setting('fsync') as fsync,
           pg_is_in_recovery() as is_in_recovery,
           current_setting('transaction_read_only') = 'on' as is_read_only,
           case when has_function_privilege('pg_control_system()', 'execute')
                then (select system_identifier from pg_control_system()) end as system,
           case when not pg_is_in_recovery()
                then left(pg_walfile_name(pg_current_wal_lsn()), 8) end as timeline,
           pg_backend_pid() as pid,
           (select backend_start from pg_stat_get_activity(pg_backend_pid())) as started";

/// Why a session cannot be used. An immediate retry on the same server does not help.
#[derive(Debug, thiserror::Error)]
pub(super) enum OpenError {
    /// The server cannot be reached, or refuses the connection.
    #[error(transparent)]
    Connect(#[from] sqlx::Error),
    /// The server is a standby.
    #[error("the database server is a standby: the address does not lead to the primary")]
    Standby,
    /// The server or its sessions are read-only.
    #[error("the database takes no writes: its sessions are read-only")]
    ReadOnly,
    /// The server is a primary, but not the one whose change feed this node follows.
    #[error("the address leads to another database server than the change feed")]
    OtherServer,
    /// No connection became free in time.
    #[error("no connection to the database became free in time")]
    Busy,
}

impl OpenError {
    /// Whether the session works but is on the wrong server.
    pub(super) const fn is_wrong_server(&self) -> bool {
        matches!(self, Self::Standby | Self::ReadOnly | Self::OtherServer)
    }

    /// Converts the error for a caller. A wrong server counts as a database that is down.
    pub(super) fn into_fault(self) -> Error {
        match self {
            Self::Connect(error) => fault(error),
            other => Error::unavailable(other),
        }
    }
}

/// Identity of a database server. A restored copy has another system identifier, and a promoted
/// standby has another timeline. A field is `None` if the server does not tell it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Server {
    system: Option<i64>,
    timeline: Option<String>,
}

/// Server process of a session, with which another session can terminate it after it was abandoned.
#[derive(Debug, Clone, Copy)]
pub(super) struct Backend {
    pub(super) pid: i32,
    pub(super) started: OffsetDateTime,
}

/// Properties of a session and its server, read when the session was set up.
#[derive(Debug)]
pub(super) struct Description {
    pub(super) server: Server,
    pub(super) backend: Option<Backend>,
    /// The configured `synchronous_commit`, if it was raised.
    pub(super) raised_from: Option<String>,
    /// Whether the server flushes to its disk at all (`fsync`).
    pub(super) flushes: bool,
}

/// Sets up a new connection. Refuses every server that is not a writable primary.
pub(super) async fn set_up<'c>(
    connection: impl sqlx::PgExecutor<'c>,
) -> Result<Description, OpenError> {
    let row = sqlx::raw_sql(SET_UP).fetch_one(connection).await?;
    if row.try_get("is_in_recovery")? {
        return Err(OpenError::Standby);
    }
    if row.try_get("is_read_only")? {
        return Err(OpenError::ReadOnly);
    }
    let (asked, durability): (String, String) =
        (row.try_get("asked_durability")?, row.try_get("durability")?);
    let (pid, started): (i32, Option<OffsetDateTime>) =
        (row.try_get("pid")?, row.try_get("started")?);
    Ok(Description {
        server: Server { system: row.try_get("system")?, timeline: row.try_get("timeline")? },
        backend: started.map(|started| Backend { pid, started }),
        raised_from: (asked != durability).then_some(asked),
        flushes: row.try_get::<String, _>("fsync")? != "off",
    })
}

/// Connects to the first host that is a usable primary. Hosts that cannot be reached and standbys
/// are skipped, as libpq does for `target_session_attrs=read-write`. The error is that of the last
/// host.
pub(super) async fn connect(
    hosts: &[PgConnectOptions],
    patience: Duration,
) -> Result<(PgConnection, Description), OpenError> {
    let mut last = OpenError::Busy;
    for host in hosts {
        let opened = timeout(patience, async {
            let mut connection = PgConnection::connect_with(host).await?;
            let description = set_up(&mut connection).await?;
            Ok((connection, description))
        });
        match opened.await {
            Ok(Ok(opened)) => return Ok(opened),
            Ok(Err(error)) => last = error,
            Err(_) => last = sqlx::Error::PoolTimedOut.into(),
        }
    }
    Err(last)
}

/// A session of a pool. Its permit is released when its socket is closed.
pub(super) struct Session {
    connection: PgConnection,
    backend: Option<Backend>,
    /// Whether a statement was started but its end not seen, for example because the caller went
    /// away.
    in_statement: bool,
    is_broken: bool,
    used_at: Instant,
    _place: OwnedSemaphorePermit,
}

impl Session {
    pub(super) fn new(
        connection: PgConnection,
        backend: Option<Backend>,
        place: OwnedSemaphorePermit,
    ) -> Self {
        let used_at = Instant::now();
        Self { connection, backend, in_statement: false, is_broken: false, used_at, _place: place }
    }

    /// Returns the connection for statements. [`Session::ended`] must follow.
    pub(super) fn begin(&mut self) -> &mut PgConnection {
        self.in_statement = true;
        &mut self.connection
    }

    /// When the session was last used.
    pub(super) const fn used_at(&self) -> Instant {
        self.used_at
    }

    /// Records the result of the statements. An error of the connection breaks the session, an
    /// error of a statement does not. Returns whether the session is broken.
    pub(super) fn ended(&mut self, error: Option<&sqlx::Error>) -> bool {
        self.in_statement = false;
        self.used_at = Instant::now();
        let is_read_only = |error: &dyn sqlx::error::DatabaseError| {
            error.code().is_some_and(|code| code == "25006" || code.starts_with("57P"))
        };
        self.is_broken |= error.is_some_and(|error| match error {
            sqlx::Error::Database(error) => is_read_only(error.as_ref()),
            sqlx::Error::RowNotFound | sqlx::Error::ColumnDecode { .. } => false,
            _ => true,
        });
        self.is_broken
    }

    /// Prepares a session for its next use. If it was left in the middle of a statement, the
    /// pending answer is read first. A session that does not answer is abandoned.
    pub(super) async fn recover(&mut self, is_rested: bool) -> Result<(), OpenError> {
        if self.is_broken {
            return Err(OpenError::Busy);
        }
        if self.in_statement || is_rested {
            self.in_statement = true;
            let answered = timeout(PING, self.connection.ping()).await;
            answered.unwrap_or(Err(sqlx::Error::PoolTimedOut))?;
            self.in_statement = false;
        }
        Ok(())
    }

    /// The process of the server that serves this session; `None` if the server hides it.
    pub(super) fn server_process(&self) -> Option<ServerProcess> {
        let Backend { pid, started } = self.backend?;
        let micros = i64::try_from(started.unix_timestamp_nanos() / 1_000).ok()?;
        Some(ServerProcess {
            pid: u32::try_from(pid).ok()?,
            started: Timestamp::from_unix_micros(micros),
        })
    }

    /// The server process that may still run for this session, if there is one.
    pub(super) fn left_behind(&self) -> Option<Backend> {
        self.backend.filter(|_| self.in_statement || self.is_broken)
    }

    /// Closes the connection with a message to the server.
    pub(super) async fn close(self) {
        let _ = timeout(PING, self.connection.close()).await;
    }
}

/// Terminates server processes that were left behind. Otherwise each would hold its connection
/// until it gets what it waits for, such as a lock or a standby. Postgres lets a role terminate its
/// own processes.
pub(super) async fn end_backends<'c>(
    connection: impl sqlx::PgExecutor<'c>,
    backends: &[Backend],
) -> Result<(), sqlx::Error> {
    if backends.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "select pg_terminate_backend(activity.pid)
         from unnest($1::int[], $2::timestamptz[]) as backend (pid, started)
              join pg_stat_activity as activity
                   on activity.pid = backend.pid and activity.backend_start = backend.started",
    )
    .persistent(false)
    .bind(backends.iter().map(|backend| backend.pid).collect::<Vec<_>>())
    .bind(backends.iter().map(|backend| backend.started).collect::<Vec<_>>())
    .execute(connection)
    .await?;
    Ok(())
}
