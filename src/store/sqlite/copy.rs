//! The embedded database as the source of a copy: locked, and read in one transaction.

use std::path::Path;

use futures_util::{StreamExt, TryStreamExt, stream::BoxStream};
use sqlx::{
    Connection, SqliteConnection,
    sqlite::{SqliteConnectOptions, SqliteRow},
};

use super::{Replacement, SqliteStore, audit, fault::fault, restore, schema};
use crate::{
    domain::{AuditEntry, AuditReader, AuditSummary, Error, Tampered, Timestamp},
    store::{Holdings, migrate::SchemaError},
};

/// Rows of the audit trail that one query reads.
const PAGE: u32 = 1_000;

/// An embedded database that is copied. While this value exists, no Jeton process uses the database
/// or starts to use it. The database is opened for reading only.
pub struct EmbeddedSource {
    connection: SqliteConnection,
    holdings: Holdings,
    /// Last, so that the lock outlives the connection.
    _alone: Replacement,
}

impl EmbeddedSource {
    /// Opens the database of a data directory. Returns `None` if a process uses it.
    ///
    /// # Errors
    /// If there is no database of the schema version of this binary, or it cannot be read.
    pub async fn open(directory: &Path) -> Result<Option<Self>, SchemaError> {
        let file = SqliteStore::file_in(directory);
        if !file.exists() {
            return Err(SchemaError::Missing);
        }
        schema::check_files(&file).map_err(SchemaError::DataDirectory)?;
        let alone = Replacement::begin(directory).map_err(SchemaError::DataDirectory)?;
        let Some(alone) = alone else { return Ok(None) };
        let options = SqliteConnectOptions::new().filename(&file).read_only(true);
        let mut connection = SqliteConnection::connect_with(&options).await.map_err(fault)?;
        sqlx::query("begin").execute(&mut connection).await.map_err(fault)?;
        schema::require_current(&mut connection).await?;
        let holdings = restore::count(&mut connection).await?;
        Ok(Some(Self { connection, holdings, _alone: alone }))
    }

    /// Row counts of the database.
    #[must_use]
    pub const fn holdings(&self) -> &Holdings {
        &self.holdings
    }

    /// Verifies the audit trail.
    ///
    /// # Errors
    /// The errors of [`crate::store::Store`]; within, the first sign of tampering.
    pub async fn verify_trail(&mut self) -> Result<Result<AuditSummary, Tampered>, Error> {
        let mut reader = AuditReader::default();
        loop {
            let page = self.trail_after(reader.position()).await?;
            if page.is_empty() {
                return Ok(reader.finish());
            }
            for entry in page {
                if let Err(tampered) = reader.read(entry) {
                    return Ok(Err(tampered));
                }
            }
        }
    }

    /// The next rows of the audit trail; none at its end.
    pub(in crate::store) async fn trail_after(
        &mut self,
        seq: i64,
    ) -> Result<Vec<AuditEntry>, Error> {
        let page = audit::after(&mut self.connection, seq, PAGE).await?;
        Ok(page.into_iter().collect::<Result<_, _>>()?)
    }

    /// The rows that a query finds, one by one. Its parameter, if it has one, is the present.
    pub(in crate::store) fn rows(
        &mut self,
        query: &'static str,
        now: Timestamp,
    ) -> BoxStream<'_, Result<SqliteRow, Error>> {
        let rows = sqlx::query(query).bind(now.unix_micros()).fetch(&mut self.connection);
        rows.map_err(fault).boxed()
    }
}
