//! Backup and restore of the embedded database: making a copy, checking a copy, and preparing a
//! restored database.

use std::{path::Path, time::Duration};

use sqlx::{
    Connection, SqliteConnection, SqlitePool,
    error::DatabaseError,
    sqlite::{SqliteConnectOptions, SqliteJournalMode},
};

use super::{SqliteStore, audit, fault::fault, schema};
use crate::{
    domain::{Actor, AuditEntry, AuditMark, Error, Timestamp},
    store::{Finished, Holdings, migrate::SchemaError, row},
};

/// `SQLITE_BUSY`: another process uses the database.
const BUSY: i64 = 5;

/// `SQLITE_NOTADB`: the file is not a SQLite database.
const NO_DATABASE: i64 = 26;

/// How far ahead the clock of a node may have been when it issued a token.
const CLOCKS_DIFFER: Duration = Duration::from_hours(1);

impl SqliteStore {
    /// Writes a copy of the database at one moment into an empty file, while nodes keep running.
    /// SQLite does not flush the copy to disk.
    ///
    /// # Errors
    /// The errors of [`crate::store::Store`].
    pub async fn copy_into(&self, file: &Path) -> Result<(), Error> {
        let name = file.to_str().ok_or_else(|| Error::internal("the file name is not UTF-8"))?;
        sqlx::query("vacuum into $1")
            .bind(name.to_owned())
            .execute(&self.reader)
            .await
            .map_err(fault)?;
        Ok(())
    }

    /// Checks a copy that no other process uses: it must be an undamaged database with a schema
    /// that this binary knows, and contain the audit row `mark`. Returns its row counts, or `None`
    /// for an older schema, which cannot be counted before it is migrated.
    ///
    /// # Errors
    /// The first problem that was found with the copy.
    pub async fn look_over(
        file: &Path,
        mark: Option<AuditMark>,
    ) -> Result<Option<Holdings>, SchemaError> {
        let options = SqliteConnectOptions::new().filename(file).read_only(true).immutable(true);
        let mut copy = SqliteConnection::connect_with(&options).await.map_err(fault)?;
        let checked = sqlx::query_scalar("pragma integrity_check(1)").fetch_one(&mut copy).await;
        let damage: String = match checked {
            Err(sqlx::Error::Database(error)) if has_code(error.as_ref(), NO_DATABASE) => {
                return Err(SchemaError::Missing);
            }
            checked => checked.map_err(fault)?,
        };
        if damage != "ok" {
            return Err(Error::internal(format!("the file is damaged: {damage}")).into());
        }
        let is_current = schema::is_current(&mut copy).await?;
        let holdings = if is_current { Some(count(&mut copy).await?) } else { None };
        if let Some(mark) = mark
            && !has_mark(&mut copy, mark).await?
        {
            let lacks = format!("the file lacks row {} of the audit trail", mark.seq);
            return Err(Error::internal(lacks).into());
        }
        copy.close().await.map_err(fault)?;
        Ok(holdings)
    }

    /// Merges the write-ahead log into the database file, so that the database is a single file. No
    /// other process may use it. Returns false if one does.
    ///
    /// # Errors
    /// The errors of [`crate::store::Store`].
    pub async fn make_one_file(file: &Path) -> Result<bool, Error> {
        let options = SqliteConnectOptions::new()
            .filename(file)
            .busy_timeout(Duration::from_millis(500))
            .journal_mode(SqliteJournalMode::Wal);
        let made = async {
            let mut connection = SqliteConnection::connect_with(&options).await?;
            let mode: String = sqlx::query_scalar("pragma journal_mode = delete")
                .fetch_one(&mut connection)
                .await?;
            connection.close().await?;
            Ok(mode == "delete")
        };
        match made.await {
            Err(sqlx::Error::Database(error)) if has_code(error.as_ref(), BUSY) => Ok(false),
            made => made.map_err(fault),
        }
    }
}

async fn has_mark(copy: &mut SqliteConnection, mark: AuditMark) -> Result<bool, Error> {
    let row = sqlx::query("select seq, hash from audit where seq = $1")
        .bind(mark.seq)
        .fetch_optional(copy)
        .await
        .map_err(fault)?;
    Ok(row.and_then(|row| row::audit_mark(&row).ok()) == Some(mark))
}

/// Whether SQLite failed with the primary code `wanted`, the low byte of the extended code.
fn has_code(error: &dyn DatabaseError, wanted: i64) -> bool {
    let code = error.code().and_then(|code| code.parse::<i64>().ok());
    code.is_some_and(|code| code & 0xFF == wanted)
}

/// Time of the newest row. The largest integer means the end of time and is skipped. Text and
/// blobs, which a table that lost its strictness may hold, are skipped too: they compare greater
/// than every integer.
const NEWEST: &str = "
    select max(moment) from (
        select created_at as moment from client
        union all select created_at from client_secret
        union all select issued_at from (
            select issued_at from access_token order by id desc limit 1)
        union all select revoked_at from revoked_token
        union all select at from (select at from audit order by seq desc limit 1))
    where moment < 9223372036854775807";

/// Counts the rows of the database.
pub(super) async fn count(connection: &mut SqliteConnection) -> Result<Holdings, Error> {
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
    let newest: Option<i64> =
        sqlx::query_scalar(NEWEST).fetch_one(&mut *connection).await.map_err(fault)?;
    let head =
        sqlx::query("select seq, hash from audit where hash <> x'' order by seq desc limit 1")
            .fetch_optional(connection)
            .await
            .map_err(fault)?;
    let mark = head.and_then(|head| row::audit_mark(&head).ok());
    let newest = newest.map(Timestamp::from_unix_micros);
    Ok(Holdings { schema, clients, secrets, tokens, revocations, audit, newest, mark })
}

/// Revokes all earlier tokens, resets the change feed and records this in the audit trail, all in
/// one transaction.
pub(super) async fn finish(
    writer: &SqlitePool,
    now: Timestamp,
    actor: &Actor,
) -> Result<Finished, Error> {
    let (writer, actor) = (writer.clone(), actor.clone());
    let finishing = tokio::spawn(async move {
        let mut transaction = writer.begin_with("begin immediate").await.map_err(fault)?;
        // Rows of edits made outside Jeton must not be attributed to this actor.
        audit::seal(&mut transaction, None).await.map_err(fault)?;
        let found = count(&mut transaction).await?;
        let issued = last_issue(&mut transaction, now).await.map_err(fault)?;
        let not_before = now.max(issued.plus(Duration::from_micros(1)));
        let lost = found.newest.map(|newest| now.since(newest));
        let finished = Finished { found, not_before, lost };
        // Nothing is known of the uses of secrets between the backup and now.
        sqlx::query(
            "insert into evidence_gap (since, until) values ($1, $2) on conflict do nothing",
        )
        .bind(finished.found.newest.unwrap_or(Timestamp::MIN).unix_micros())
        .bind(now.unix_micros())
        .execute(&mut *transaction)
        .await
        .map_err(fault)?;

        sqlx::query("insert into audit (action, detail) values ($1, $2)")
            .bind(AuditEntry::RESTORE)
            .bind(finished.detail().to_string())
            .execute(&mut *transaction)
            .await
            .map_err(fault)?;
        begin_feed_anew(&mut transaction, now).await.map_err(fault)?;
        invalidate_tokens(&mut transaction, not_before).await?;
        audit::seal(&mut transaction, Some(&actor)).await.map_err(fault)?;
        transaction.commit().await.map_err(fault)?;
        Ok(finished)
    });
    finishing.await.map_err(|_| Error::internal("a restore did not run to completion"))?
}

/// When the newest token was issued, at least `now`. The clock of the node that issued it may have
/// been ahead.
async fn last_issue(
    connection: &mut SqliteConnection,
    now: Timestamp,
) -> Result<Timestamp, sqlx::Error> {
    let last: Option<i64> = sqlx::query_scalar(
        "select max(issued_at) from access_token where issued_at between $1 and $2",
    )
    .bind(now.unix_micros())
    .bind(now.plus(CLOCKS_DIFFER).unix_micros())
    .fetch_one(connection)
    .await?;
    Ok(last.map_or(now, Timestamp::from_unix_micros))
}

/// Revokes all tokens issued before a restore. This is the only function that does so.
async fn invalidate_tokens(
    connection: &mut SqliteConnection,
    not_before: Timestamp,
) -> Result<(), Error> {
    let changed = sqlx::query(
        "update installation set generation = generation + 1,
                    not_before = max(coalesce(not_before, 0), $1)",
    )
    .bind(not_before.unix_micros())
    .execute(connection)
    .await
    .map_err(fault)?;
    if changed.rows_affected() == 1 {
        return Ok(());
    }
    Err(Error::internal("the table installation does not have exactly one row"))
}

/// Empties the change feed. The ids continue from the current time in microseconds. Without a
/// million changes per second the earlier feed cannot have reached that id, so no node mistakes
/// this feed for the one it followed.
async fn begin_feed_anew(
    connection: &mut SqliteConnection,
    now: Timestamp,
) -> Result<(), sqlx::Error> {
    sqlx::query("delete from change").execute(&mut *connection).await?;
    sqlx::query(
        "insert into sqlite_sequence (name, seq)
         select 'change', 0 where not exists (select 1 from sqlite_sequence where name = 'change')",
    )
    .execute(&mut *connection)
    .await?;
    sqlx::query("update sqlite_sequence set seq = max(seq, $1) where name = 'change'")
        .bind(now.unix_micros())
        .execute(connection)
        .await?;
    Ok(())
}
