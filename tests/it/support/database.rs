//! A database of its own for each test, of either kind.

use std::{
    process,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use jeton::{
    domain::{Clock, OsRandom, SystemClock},
    store::{PostgresOptions, PostgresStore, SqliteStore, Store},
};
use sqlx::{
    AssertSqlSafe, Connection, PgConnection, SqliteConnection, sqlite::SqliteConnectOptions,
};
use tempfile::TempDir;
use uuid::Uuid;

use super::{everything, postgres};
use crate::secrecy;

static NUMBER: AtomicU32 = AtomicU32::new(0);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Postgres,
    Sqlite,
}

impl Kind {
    pub(crate) const BOTH: [Self; 2] = [Self::Postgres, Self::Sqlite];
}

/// An empty database. It goes away when it is dropped.
pub(crate) struct Database {
    pub(crate) kind: Kind,
    /// Of the Postgres database; unused for SQLite.
    pub(crate) url: String,
    name: String,
    /// Data directory, also of nodes on Postgres that keep a certificate there.
    pub(crate) dir: Arc<TempDir>,
    /// Others use it too, and the last one removes it.
    users: Arc<()>,
}

impl Database {
    pub(crate) async fn new(kind: Kind) -> Self {
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("jeton_test_{}_{number}", process::id());
        let mut url = String::new();
        if kind == Kind::Postgres {
            admin(format!("create database {name}")).await;
            url = postgres::url(&name);
        }
        let dir = Arc::new(tempfile::tempdir().unwrap());
        Self { kind, url, name, dir, users: Arc::default() }
    }

    /// One that a node has been on, for commands that come first.
    pub(crate) async fn ready(kind: Kind) -> Self {
        let database = Self::new(kind).await;
        database.migrated().await.close().await;
        database
    }

    /// One that somebody else made and removes.
    pub(crate) fn at(url: String) -> Self {
        let dir = Arc::new(tempfile::tempdir().unwrap());
        Self { kind: Kind::Postgres, url, name: String::new(), dir, users: Arc::default() }
    }

    /// The same database, for a second node.
    pub(crate) fn shared(&self) -> Self {
        Self {
            url: self.url.clone(),
            name: self.name.clone(),
            dir: Arc::clone(&self.dir),
            users: Arc::clone(&self.users),
            ..*self
        }
    }

    /// A store on it, as it is.
    pub(crate) fn store(&self) -> Arc<dyn Store> {
        let wait = Duration::from_secs(2);
        match self.kind {
            Kind::Postgres => {
                Arc::new(PostgresStore::at(&self.url, 10, PostgresOptions::waiting(wait)).unwrap())
            }
            Kind::Sqlite => Arc::new(SqliteStore::in_directory(self.dir.path(), 10, wait)),
        }
    }

    /// A store on it, with the schema up to date.
    pub(crate) async fn migrated(&self) -> Arc<dyn Store> {
        let store = self.store();
        store.migrate(SystemClock.now(), &OsRandom).await.unwrap();
        store
    }

    /// Runs a statement by hand, beside any node, and waits until every node has heard of it.
    pub(crate) async fn execute(&self, statement: &str) {
        let statement = AssertSqlSafe(statement.to_owned());
        match self.kind {
            Kind::Postgres => {
                let mut connection = PgConnection::connect(&self.url).await.unwrap();
                sqlx::query(statement).execute(&mut connection).await.unwrap();
            }
            Kind::Sqlite => {
                sqlx::query(statement).execute(&mut self.file().await).await.unwrap();
            }
        }
        self.heard().await;
    }

    /// Runs a statement by hand that may be refused.
    pub(crate) async fn try_execute(&self, statement: &str) -> Result<(), sqlx::Error> {
        let sql = AssertSqlSafe(statement.to_owned());
        match self.kind {
            Kind::Postgres => {
                let mut connection = PgConnection::connect(&self.url).await?;
                sqlx::query(sql).execute(&mut connection).await.map(drop)
            }
            Kind::Sqlite => sqlx::query(sql).execute(&mut self.file().await).await.map(drop),
        }
    }

    /// Waits until every node has heard of what was written.
    pub(crate) async fn heard(&self) {
        match self.kind {
            Kind::Postgres => {
                let mut connection = PgConnection::connect(&self.url).await.unwrap();
                let is_awaited = "select to_regclass('node') is not null and exists
                    (select from node where applied < (select max(id) from change)
                                            and lease_until > clock_timestamp())";
                while sqlx::query_scalar(is_awaited).fetch_one(&mut connection).await.unwrap() {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
            }
            Kind::Sqlite => tokio::time::sleep(Duration::from_millis(100)).await,
        }
    }

    /// Runs statements one after the other on one connection.
    pub(crate) async fn execute_all(&self, statements: &str) {
        let sql = AssertSqlSafe(statements.to_owned());
        let done = match self.kind {
            Kind::Postgres => {
                let mut connection = PgConnection::connect(&self.url).await.unwrap();
                sqlx::raw_sql(sql).execute(&mut connection).await.map(drop)
            }
            Kind::Sqlite => sqlx::raw_sql(sql).execute(&mut self.file().await).await.map(drop),
        };
        done.unwrap_or_else(|error| panic!("{statements}: {error}"));
    }

    /// One number that a query finds.
    pub(crate) async fn number(&self, query: &str) -> i64 {
        let query = AssertSqlSafe(query.to_owned());
        let found = match self.kind {
            Kind::Postgres => {
                let mut connection = PgConnection::connect(&self.url).await.unwrap();
                sqlx::query_scalar(query).fetch_one(&mut connection).await
            }
            Kind::Sqlite => sqlx::query_scalar(query).fetch_one(&mut self.file().await).await,
        };
        found.unwrap()
    }

    /// Runs statements in a transaction that is rolled back.
    pub(crate) async fn rolled_back(&self, statements: &str) {
        let statements = AssertSqlSafe(format!("begin; {statements}; rollback"));
        match self.kind {
            Kind::Postgres => {
                let mut connection = PgConnection::connect(&self.url).await.unwrap();
                sqlx::raw_sql(statements).execute(&mut connection).await.unwrap();
            }
            Kind::Sqlite => {
                sqlx::raw_sql(statements).execute(&mut self.file().await).await.unwrap();
            }
        }
    }

    /// Why the database refuses a statement.
    pub(crate) async fn refuses(&self, statement: &str) -> String {
        let statement = AssertSqlSafe(statement.to_owned());
        let refused = match self.kind {
            Kind::Postgres => {
                let mut connection = PgConnection::connect(&self.url).await.unwrap();
                sqlx::raw_sql(statement).execute(&mut connection).await.map(drop)
            }
            Kind::Sqlite => sqlx::query(statement).execute(&mut self.file().await).await.map(drop),
        };
        refused.unwrap_err().to_string()
    }

    async fn file(&self) -> SqliteConnection {
        let file = SqliteConnectOptions::new().filename(self.dir.path().join("jeton.db"));
        SqliteConnection::connect_with(&file).await.unwrap()
    }

    /// Holds the table of tokens, so that whoever writes to it waits until this is dropped.
    pub(crate) async fn lock_tokens(&self) -> Box<dyn Send> {
        match self.kind {
            Kind::Postgres => {
                let mut connection = PgConnection::connect(&self.url).await.unwrap();
                let lock = "begin; lock table access_token in access exclusive mode";
                sqlx::raw_sql(lock).execute(&mut connection).await.unwrap();
                Box::new(connection)
            }
            Kind::Sqlite => {
                let mut connection = self.file().await;
                sqlx::raw_sql("begin immediate").execute(&mut connection).await.unwrap();
                Box::new(connection)
            }
        }
    }

    /// Holds what uses of secrets are written to, so that a node that writes them waits until this
    /// is dropped.
    pub(crate) async fn lock_uses(&self) -> Box<dyn Send> {
        match self.kind {
            Kind::Postgres => {
                let mut connection = PgConnection::connect(&self.url).await.unwrap();
                let lock = "begin; lock table secret_use in access exclusive mode";
                sqlx::raw_sql(lock).execute(&mut connection).await.unwrap();
                Box::new(connection)
            }
            Kind::Sqlite => self.lock_tokens().await,
        }
    }

    /// Adds secrets of these ids to the one client that there is, and tells neither nodes nor trail.
    pub(crate) async fn add_secrets(&self, ids: &[Uuid]) {
        let into = "insert into client_secret (id, client, hash, created_at)";
        for ids in ids.chunks(500) {
            let rows = ids.iter().map(|id| match self.kind {
                Kind::Postgres => format!("('{id}'::uuid)"),
                Kind::Sqlite => format!("(x'{}')", id.simple()),
            });
            let rows = rows.collect::<Vec<_>>().join(", ");
            self.change_secrets_quietly(&match self.kind {
                Kind::Postgres => format!(
                    "{into} select news.id, client.id, '$argon2id$x', now()
                     from client, (values {rows}) as news (id)"
                ),
                Kind::Sqlite => format!(
                    "with news (id) as (values {rows})
                     {into} select news.id, client.id, '$argon2id$x', 1 from client, news"
                ),
            })
            .await;
        }
    }

    /// Changes secrets without their triggers, which take their time for thousands of rows. SQLite
    /// is quick and keeps them.
    pub(crate) async fn change_secrets_quietly(&self, statement: &str) {
        let of = |verb: &str| match self.kind {
            Kind::Postgres => format!("alter table client_secret {verb} trigger user;"),
            Kind::Sqlite => String::new(),
        };
        self.execute_all(&format!("{}{statement};{}", of("disable"), of("enable"))).await;
    }

    /// What tells a command of the binary to use this database.
    pub(crate) fn flags(&self) -> Vec<String> {
        let mut flags = vec!["--data-dir".to_owned(), self.dir.path().display().to_string()];
        if self.kind == Kind::Postgres {
            flags.extend(["--database-url".to_owned(), self.url.clone()]);
        }
        flags
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        let is_last = Arc::strong_count(&self.users) == 1;
        if is_last && everything::FOLDER.is_some() && !std::thread::panicking() {
            // A test may be within a runtime, which must not be blocked from itself.
            let dumping = std::thread::scope(|scope| {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
                scope.spawn(|| runtime.unwrap().block_on(secrecy::dump(self))).join()
            });
            everything::keep("databases", &dumping.unwrap_or_default());
        }
        if self.kind == Kind::Postgres && is_last && !self.name.is_empty() {
            let statement = format!("drop database if exists {} with (force)", self.name);
            // A test may be within a runtime, which must not be blocked from itself.
            let dropped = std::thread::spawn(|| {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
                runtime.unwrap().block_on(admin(statement));
            });
            let _ = dropped.join();
        }
    }
}

/// Runs a statement in the database `postgres`.
pub(crate) async fn admin(statement: String) {
    let url = tokio::task::spawn_blocking(|| postgres::url("postgres")).await.unwrap();
    let mut connection = PgConnection::connect(&url).await.unwrap();
    sqlx::query(AssertSqlSafe(statement)).execute(&mut connection).await.unwrap();
}
