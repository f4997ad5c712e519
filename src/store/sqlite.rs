//! The embedded store on SQLite: one file and one node, with the same guarantees as Postgres.
//!
//! In WAL mode the writer does not block readers. `synchronous = full` flushes on every commit,
//! because an acknowledged token must survive a power cut. There is one connection for writing:
//! SQLite allows one writer anyway, and the queue of the pool is fair while SQLite's lock is not.

mod audit;
mod cells;
mod clients;
mod copy;
mod evidence;
mod expiry;
mod explain;
mod fault;
mod feed;
mod file;
mod foreign;
mod installation;
mod maintenance;
mod owner;
mod records;
mod recovery;
mod replace;
mod restore;
mod rotation;
mod schema;
mod tokens;

use std::{
    ops::RangeInclusive,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous,
};
use uuid::Uuid;

use self::feed::SqliteFeed;
pub use self::{copy::EmbeddedSource, replace::Replacement};
use super::{
    AuditFilter, AuditStore, ClientChange, ClientStore, Creation, Feed, FeedStore, Finished,
    FoundClient, FoundOrFault, Readable, SchemaStore, TokenStore,
    migrate::{Migrated, SchemaError},
};
use crate::{
    data_dir::Lock,
    domain::{
        AccessToken, Actor, AuditEntry, AuditMark, ClientId, ClientRecord, CredentialId, Error,
        Random, StoredSecret, Timestamp, TokenId,
    },
};

/// File name of the database in the data directory.
const FILE: &str = "jeton.db";

/// How long a statement waits for a lock of another process, such as a command that writes beside a
/// running node.
const BUSY: Duration = Duration::from_secs(5);

/// Store in one SQLite file.
#[derive(Debug, Clone)]
pub struct SqliteStore {
    path: PathBuf,
    reader: SqlitePool,
    writer: SqlitePool,
    /// Identity of the file when its schema was last checked.
    opened: Arc<Mutex<Option<FileId>>>,
    /// Lock that marks the file as in use, so that no other process replaces it.
    in_use: Arc<Mutex<Option<Lock>>>,
    /// Id of this node in `evidence`; `None` in a command.
    recorder: Arc<Mutex<Option<Uuid>>>,
}

/// Device and inode number of a file. The same path may later name another file.
type FileId = (u64, u64);

impl SqliteStore {
    /// Creates a store in `directory`, which must exist. The first migration creates the file.
    #[must_use]
    pub fn in_directory(directory: &Path, readers: u32, acquire_timeout: Duration) -> Self {
        let path = Self::file_in(directory);
        let options = SqliteConnectOptions::new()
            .filename(&path)
            .create_if_missing(false)
            .foreign_keys(true)
            .busy_timeout(BUSY)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full);
        let pool = |connections| {
            SqlitePoolOptions::new()
                .max_connections(connections)
                .acquire_timeout(acquire_timeout)
                .connect_lazy_with(options.clone())
        };
        let (opened, in_use, recorder) = (Arc::default(), Arc::default(), Arc::default());
        Self { reader: pool(readers), writer: pool(1), path, opened, in_use, recorder }
    }

    /// Path of the database file in `directory`.
    #[must_use]
    pub fn file_in(directory: &Path) -> PathBuf {
        directory.join(FILE)
    }
}

#[async_trait]
impl SchemaStore for SqliteStore {
    async fn migrate(&self, now: Timestamp, random: &dyn Random) -> Result<Migrated, SchemaError> {
        let (migrated, in_use) = schema::migrate(&self.writer, &self.path, now, random).await?;
        self.hold(in_use);
        Ok(migrated)
    }

    async fn check_schema(&self) -> Result<(), SchemaError> {
        let in_use = schema::check(&self.writer, &self.path).await?;
        self.hold(in_use);
        Ok(())
    }

    async fn finish_restore(&self, now: Timestamp, actor: &Actor) -> Result<Finished, Error> {
        let finished = restore::finish(&self.writer, now, actor).await?;
        feed::applied_everywhere().await;
        Ok(finished)
    }
}

#[async_trait]
impl ClientStore for SqliteStore {
    async fn find_client(
        &self,
        client_id: &ClientId,
        credential: Option<CredentialId>,
    ) -> Result<Option<FoundClient>, Error> {
        clients::find(&self.reader, client_id, credential).await
    }

    async fn create_client(
        &self,
        record: &ClientRecord,
        secret: &StoredSecret,
        actor: &Actor,
    ) -> Result<Creation, Error> {
        clients::create(&self.writer, record, secret, actor).await
    }

    async fn create_client_without_secret(
        &self,
        record: &ClientRecord,
        actor: &Actor,
    ) -> Result<Creation, Error> {
        clients::create_without_secret(&self.writer, record, actor).await
    }

    async fn list_secrets(
        &self,
        client_id: &ClientId,
    ) -> Result<Vec<Readable<StoredSecret>>, Error> {
        clients::list_secrets(&self.reader, client_id).await
    }

    async fn change_client(
        &self,
        client_id: &ClientId,
        change: ClientChange,
        actor: &Actor,
    ) -> Result<bool, Error> {
        let found = clients::change(&self.writer, client_id, change, actor).await?;
        feed::applied_everywhere().await;
        Ok(found)
    }

    async fn revoke_client_tokens(
        &self,
        client_id: &ClientId,
        actor: &Actor,
    ) -> Result<bool, Error> {
        let found = clients::revoke_tokens(&self.writer, client_id, actor).await?;
        feed::applied_everywhere().await;
        Ok(found)
    }

    async fn delete_client(&self, client_id: &ClientId, actor: &Actor) -> Result<bool, Error> {
        let found = clients::delete(&self.writer, client_id, actor).await?;
        feed::applied_everywhere().await;
        Ok(found)
    }

    async fn add_secret(&self, secret: &StoredSecret, actor: &Actor) -> Result<bool, Error> {
        clients::add_secret(&self.writer, secret, actor).await
    }
}

#[async_trait]
impl TokenStore for SqliteStore {
    async fn record_tokens(&self, tokens: &[AccessToken]) -> Result<Vec<TokenId>, Error> {
        let recorded = tokens::record(&self.writer, tokens).await?;
        self.still_there().map(|()| recorded)
    }

    async fn find_tokens(&self, ids: &[TokenId]) -> Result<Vec<(TokenId, FoundOrFault)>, Error> {
        tokens::find(&self.reader, ids).await
    }

    async fn revoke_tokens(&self, ids: &[TokenId], now: Timestamp) -> Result<(), Error> {
        tokens::revoke(&self.writer, ids, now).await?;
        self.still_there()
    }
}

#[async_trait]
impl AuditStore for SqliteStore {
    async fn audit_after(&self, seq: i64, limit: u32) -> Result<Vec<Readable<AuditEntry>>, Error> {
        audit::after(&self.reader, seq, limit).await
    }

    async fn search_audit(
        &self,
        filter: &AuditFilter,
        seqs: RangeInclusive<i64>,
        limit: u32,
    ) -> Result<Vec<Readable<AuditEntry>>, Error> {
        audit::search(&self.reader, filter, seqs, limit).await
    }

    async fn audit_head(&self) -> Result<Option<AuditMark>, Error> {
        audit::head(&self.reader).await
    }
}

#[async_trait]
impl FeedStore for SqliteStore {
    async fn follow(&self, _lease: Duration) -> Result<Box<dyn Feed>, Error> {
        // The feed has a connection of its own, so it never waits for one that a request uses.
        let options = self.reader.connect_options().as_ref().clone();
        let own = SqlitePoolOptions::new().max_connections(1).connect_lazy_with(options);
        Ok(Box::new(SqliteFeed::new(own)))
    }

    async fn settle(&self) -> Result<(), Error> {
        feed::applied_everywhere().await;
        Ok(())
    }

    fn needs_lease(&self) -> bool {
        false
    }
}
