//! The store on Postgres, version 14 and later: the one to grow on.

mod address;
mod audit;
mod clients;
mod fault;
mod feed;
mod partitions;
mod pool;
mod schema;
mod tokens;

use std::time::Duration;

use async_trait::async_trait;
use sqlx::postgres::PgPoolOptions;
use time::OffsetDateTime;

pub use self::address::{Address, AddressError, TargetSession};
use self::{fault::fault, pool::Pool};
use super::{
    Connections, Creation, Feed, FoundClient, FoundOrFault, Installation, Retirement, Store,
    Upkeep,
    migrate::{Migrated, SchemaError},
};
use crate::domain::{
    AccessToken, Actor, AuditEntry, AuditMark, Client, ClientId, ClientState, Error, Random,
    SecretId, StoredSecret, TagKey, Timestamp, TokenId,
};

/// No statement of a request runs for longer. It is far above what any needs, and frees a
/// connection from a database that hangs.
const STATEMENT_TIMEOUT: &str = "5s";

/// A store on Postgres.
pub struct PostgresStore {
    pool: Pool,
    listens: bool,
}

impl PostgresStore {
    /// A store at `postgres://user:password@host/database?sslmode=…`. Connections are made when
    /// they are needed, so this succeeds while the database is away.
    ///
    /// # Errors
    /// If the URL cannot be followed to the letter: see [`Address::parse`].
    pub fn at(
        url: &str,
        max_connections: u32,
        acquire_timeout: Duration,
    ) -> Result<Self, AddressError> {
        let address = Address::parse(url)?;
        let options = address.hosts()[0].clone().options([
            ("statement_timeout", STATEMENT_TIMEOUT),
            ("idle_in_transaction_session_timeout", STATEMENT_TIMEOUT),
        ]);
        let limits =
            PgPoolOptions::new().max_connections(max_connections).acquire_timeout(acquire_timeout);
        Ok(Self { pool: Pool::new(options, limits), listens: true })
    }

    /// The same, but changes are looked for and not listened for. Behind a pooler that pools by
    /// transaction, what is announced would reach the connections of others.
    #[must_use]
    pub fn without_listening(self) -> Self {
        Self { listens: false, ..self }
    }
}

#[async_trait]
impl Store for PostgresStore {
    async fn migrate(&self, now: Timestamp, random: &dyn Random) -> Result<Migrated, SchemaError> {
        schema::migrate(&self.pool, now, random).await
    }

    async fn check_schema(&self) -> Result<(), SchemaError> {
        schema::check(&self.pool).await
    }

    async fn installation(&self) -> Result<Installation, Error> {
        let key: Vec<u8> = sqlx::query_scalar("select tag_key from installation")
            .fetch_one(&self.pool.get())
            .await
            .map_err(fault)?;
        let key = key.try_into().map_err(|_| Error::internal("the tag key has not 32 bytes"))?;
        Ok(Installation { tag_key: TagKey::from_bytes(key) })
    }

    async fn find_client(
        &self,
        client_id: &ClientId,
        secret: Option<SecretId>,
    ) -> Result<Option<FoundClient>, Error> {
        clients::find(&self.pool.get(), client_id, secret).await
    }

    async fn record_tokens(&self, tokens: &[AccessToken]) -> Result<(), Error> {
        tokens::record(&self.pool.get(), tokens).await
    }

    async fn find_tokens(&self, ids: &[TokenId]) -> Result<Vec<(TokenId, FoundOrFault)>, Error> {
        tokens::find(&self.pool.get(), ids).await
    }

    async fn revoke_token(
        &self,
        id: TokenId,
        now: Timestamp,
        keep_until: Timestamp,
        actor: &Actor,
    ) -> Result<(), Error> {
        tokens::revoke(&self.pool.get(), id, now, keep_until, actor).await?;
        feed::applied_everywhere(&self.pool.get()).await
    }

    async fn create_client(
        &self,
        client: &Client,
        secret: &StoredSecret,
        actor: &Actor,
    ) -> Result<Creation, Error> {
        clients::create(&self.pool.get(), client, secret, actor).await
    }

    async fn list_clients(
        &self,
        after: Option<&ClientId>,
        limit: u32,
    ) -> Result<Vec<Client>, Error> {
        clients::list(&self.pool.get(), after, limit).await
    }

    async fn list_secrets(&self, client_id: &ClientId) -> Result<Vec<StoredSecret>, Error> {
        clients::list_secrets(&self.pool.get(), client_id).await
    }

    async fn set_client_state(
        &self,
        client_id: &ClientId,
        state: ClientState,
        actor: &Actor,
    ) -> Result<bool, Error> {
        let found = clients::set_state(&self.pool.get(), client_id, state, actor).await?;
        feed::applied_everywhere(&self.pool.get()).await.map(|()| found)
    }

    async fn delete_client(&self, client_id: &ClientId, actor: &Actor) -> Result<bool, Error> {
        let found = clients::delete(&self.pool.get(), client_id, actor).await?;
        feed::applied_everywhere(&self.pool.get()).await.map(|()| found)
    }

    async fn add_secret(&self, secret: &StoredSecret, actor: &Actor) -> Result<bool, Error> {
        clients::add_secret(&self.pool.get(), secret, actor).await
    }

    async fn retire_secret(
        &self,
        client_id: &ClientId,
        secret: SecretId,
        retirement: Retirement,
        now: Timestamp,
        actor: &Actor,
    ) -> Result<bool, Error> {
        let pool = self.pool.get();
        let found =
            clients::retire_secret(&pool, client_id, secret, retirement, now, actor).await?;
        feed::applied_everywhere(&pool).await.map(|()| found)
    }

    async fn audit_after(&self, seq: i64, limit: u32) -> Result<Vec<AuditEntry>, Error> {
        audit::after(&self.pool.get(), seq, limit).await
    }

    async fn last_of_audit(
        &self,
        client_id: Option<&ClientId>,
        limit: u32,
    ) -> Result<Vec<AuditEntry>, Error> {
        audit::last(&self.pool.get(), client_id, limit).await
    }

    async fn audit_head(&self) -> Result<Option<AuditMark>, Error> {
        audit::head(&self.pool.get()).await
    }

    async fn settle(&self) -> Result<(), Error> {
        feed::applied_everywhere(&self.pool.get()).await
    }

    async fn follow(&self, lease: Duration) -> Result<Box<dyn Feed>, Error> {
        let feed = self.pool.follow(lease, self.listens).await?;
        Ok(Box::new(feed))
    }

    async fn upkeep(&self, now: Timestamp, audit_days: u32) -> Result<Upkeep, Error> {
        let pool = self.pool.get();
        let mut done = partitions::upkeep(&pool, now).await?;
        done.audit_forgotten = audit::forget(&pool, audit_days).await?;
        Ok(done)
    }

    async fn check(&self) -> Result<(), Error> {
        self.pool.check().await.map_err(fault)
    }

    fn connections(&self) -> Connections {
        Connections::of(&self.pool.get())
    }

    async fn close(&self) {
        self.pool.get().close().await;
    }
}

/// A moment as Postgres takes it.
fn moment(timestamp: Timestamp) -> OffsetDateTime {
    let nanos = i128::from(timestamp.unix_micros()) * 1_000;
    OffsetDateTime::from_unix_timestamp_nanos(nanos).unwrap_or(OffsetDateTime::UNIX_EPOCH)
}

/// A moment as Postgres gave it.
fn timestamp(moment: OffsetDateTime) -> Timestamp {
    let micros = moment.unix_timestamp_nanos().div_euclid(1_000);
    Timestamp::from_unix_micros(i64::try_from(micros).unwrap_or(i64::MAX))
}
