//! Copy of an embedded database into an empty one on Postgres, in one transaction: it happens as a
//! whole or not at all.
//!
//! Triggers that announce and audit new clients and secrets, or check them, do not run: these rows
//! are in the trail that is copied, and stay as they are. Tokens and revocations pass their
//! triggers by the settings that nodes and `revoke_tokens` use. The row of the installation has its
//! triggers, so a node that starts meanwhile empties its cache, tag keys included.

mod binary;
mod tables;
mod trail;

use std::time::Duration;

use futures_util::TryStreamExt;
use serde_json::{Value, json};
use sqlx::{Connection, PgConnection};

use self::tables::{TABLES, Table};
use super::{PostgresStore, fault::fault, moment::Moment, partitions, restore};
use crate::{
    domain::{Actor, AuditEntry, AuditSummary, Error, Timestamp},
    store::{
        EmbeddedSource, Holdings,
        row::{BadCell, Cell, Cells, no_installation},
    },
};

/// Bytes that are sent at once.
const CHUNK: usize = 64 * 1024;

/// How long ago a live token may have been issued: a day, with room for clocks that differ.
const OLDEST: Duration = Duration::from_hours(26);

/// The lock keeps a second copy, a migration and a change out until the end.
const BEGIN: &str = "
    set local statement_timeout = 0;
    set local idle_in_transaction_session_timeout = '5min';
    lock table only installation in exclusive mode";

/// What a database has that is not empty, or is in use.
const OCCUPANTS: &str = "
    select array_remove(array[
        case when exists (select from client) then 'clients' end,
        case when exists (select from access_token) then 'tokens' end,
        case when exists (select from revoked_token) then 'revocations' end,
        case when exists (select from audit) then 'an audit trail' end,
        case when exists (select from node where lease_until > clock_timestamp())
             then 'a running node' end], null)";

/// Lets clients and secrets pass as they are, and removes the gap of a database in which no uses
/// were counted: those of the source come in its place.
const WITHOUT_TRIGGERS: &str = "
    alter table client
        disable trigger client_is_audited,
        disable trigger client_insert_is_announced,
        disable trigger client_keeps_administration_apart;
    alter table client_secret
        disable trigger client_secret_is_audited,
        disable trigger client_secret_insert_is_announced;
    delete from evidence_gap";

const WITH_TRIGGERS: &str = "
    alter table client
        enable always trigger client_is_audited,
        enable always trigger client_insert_is_announced,
        enable always trigger client_keeps_administration_apart;
    alter table client_secret
        enable always trigger client_secret_is_audited,
        enable always trigger client_secret_insert_is_announced";

impl PostgresStore {
    /// Copies the whole embedded database, except tokens that have expired and what was kept of
    /// deletions and requests, into this one, whose schema is up to date. `verified` describes
    /// its audit trail. Returns what this database holds then; within, what it has already, so that
    /// nothing was copied.
    ///
    /// # Errors
    /// The errors of [`crate::store::Store`]. Nothing was copied then, unless the connection was
    /// lost at the very end.
    pub async fn copy_from(
        &self,
        source: &mut EmbeddedSource,
        verified: &AuditSummary,
        now: Timestamp,
        actor: &Actor,
    ) -> Result<Result<Holdings, Vec<String>>, Error> {
        let mut connection = self.primary.connect().await?;
        let mut transaction = connection.begin().await.map_err(fault)?;
        sqlx::raw_sql(BEGIN).execute(&mut *transaction).await.map_err(fault)?;
        let occupants: Vec<String> =
            sqlx::query_scalar(OCCUPANTS).fetch_one(&mut *transaction).await.map_err(fault)?;
        if !occupants.is_empty() {
            return Ok(Err(occupants));
        }
        sqlx::query(
            "select set_config('jeton.actor', $1, true), set_config('jeton.is_noted', 'on', true)",
        )
        .bind(actor.as_str())
        .execute(&mut *transaction)
        .await
        .map_err(fault)?;
        partitions::make(&mut transaction, now.minus(OLDEST)).await?;
        sqlx::raw_sql(WITHOUT_TRIGGERS).execute(&mut *transaction).await.map_err(fault)?;
        for table in &TABLES {
            copy_rows(&mut transaction, source, table, now).await?;
        }
        sqlx::raw_sql(WITH_TRIGGERS).execute(&mut *transaction).await.map_err(fault)?;
        trail::copy(&mut transaction, source, verified).await?;
        copy_installation(&mut transaction, source, now).await?;
        note(&mut transaction, verified).await.map_err(fault)?;
        let copied = restore::count(&mut transaction).await?;
        compare(source.holdings(), &copied)?;
        transaction.commit().await.map_err(fault)?;
        connection.close().await.map_err(fault)?;
        Ok(Ok(copied))
    }
}

async fn copy_rows(
    connection: &mut PgConnection,
    source: &mut EmbeddedSource,
    table: &Table,
    now: Timestamp,
) -> Result<(), Error> {
    table.check_columns(connection).await?;
    let mut rows = source.rows(table.rows, now);
    let mut sink = connection.copy_in_raw(&table.statement()).await.map_err(fault)?;
    let mut data = binary::HEADER.to_vec();
    let mut read = 0;
    while let Some(row) = rows.try_next().await? {
        table.push(&mut data, &row)?;
        read += 1;
        if data.len() >= CHUNK {
            sink.send(data.as_slice()).await.map_err(fault)?;
            data.clear();
        }
    }
    data.extend(binary::END);
    sink.send(data.as_slice()).await.map_err(fault)?;
    let written = sink.finish().await.map_err(fault)?;
    if written == read {
        return Ok(());
    }
    Err(table.incomplete(&format!("{read} rows were read and {written} were written")))
}

/// The row of the installation, as it is copied.
struct Installation {
    /// Current, next and previous.
    tag_keys: [Option<Vec<u8>>; 3],
    tag_key_since: Option<Timestamp>,
    not_before: Option<Timestamp>,
    created_at: Timestamp,
    generation: i64,
}

impl Installation {
    fn read(row: &impl Cells) -> Cell<Self> {
        let tag_keys = [
            Some(row.bytes("tag_key")?),
            row.maybe_bytes("next_tag_key")?,
            row.maybe_bytes("previous_tag_key")?,
        ];
        Ok(Self {
            tag_keys,
            tag_key_since: row.maybe_moment("tag_key_since")?,
            not_before: row.maybe_moment("not_before")?,
            created_at: row.moment("created_at")?,
            generation: row.integer("generation")?,
        })
    }
}

/// Replaces the keys and bounds of a new installation by those of the source, so that every secret
/// and token stays what it was.
async fn copy_installation(
    connection: &mut PgConnection,
    source: &mut EmbeddedSource,
    now: Timestamp,
) -> Result<(), Error> {
    let row = source.rows("select * from installation", now).try_next().await?;
    let row = row.ok_or_else(no_installation)?;
    let found = Installation::read(&row);
    let found = found.map_err(|bad: BadCell| bad.of("installation"))?;
    let [current, next, previous] = found.tag_keys;
    let changed = sqlx::query(
        "update installation
         set tag_key = $1, next_tag_key = $2, previous_tag_key = $3, tag_key_since = $4,
             not_before = $5, created_at = $6, generation = $7",
    )
    .bind(current)
    .bind(next)
    .bind(previous)
    .bind(found.tag_key_since.map(Moment))
    .bind(found.not_before.map(Moment))
    .bind(Moment(found.created_at))
    .bind(found.generation)
    .execute(connection)
    .await
    .map_err(fault)?;
    if changed.rows_affected() == 1 { Ok(()) } else { Err(no_installation()) }
}

/// Adds the rows of the copy to the trail: that of the trigger of the installation, and one with
/// the mark of the trail that was copied, because its hashes are others here.
async fn note(connection: &mut PgConnection, verified: &AuditSummary) -> Result<(), sqlx::Error> {
    sqlx::query("set constraints all immediate").execute(&mut *connection).await?;
    sqlx::query("select record_audit($1, null, null, null, $2)")
        .bind(AuditEntry::COPY)
        .bind::<Value>(json!({ "mark": verified.head.map(|head| head.to_string()) }))
        .execute(connection)
        .await?;
    Ok(())
}

/// The rows that are counted here besides those of the tokens and of the trail.
fn compare(source: &Holdings, copied: &Holdings) -> Result<(), Error> {
    let counts = |of: &Holdings| (of.clients, of.secrets, of.revocations);
    if counts(source) == counts(copied) {
        return Ok(());
    }
    Err(Error::internal(format!(
        "clients, secrets and revocations are {:?} in the embedded database, and {:?} in the copy",
        counts(source),
        counts(copied)
    )))
}
