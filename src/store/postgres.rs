//! The store on Postgres, version 14 or later, for installations of any size.

/// Runs the statements of one call on a session of a lane. `$lease` is the lease of this node,
/// which proves that the session is on the primary. This is a macro, because a function could not
/// declare that the future borrows the connection and is `Send`.
macro_rules! on_session {
    ($primary:expr, $lane:expr, |$connection:ident, $lease:pat_param| $call:expr) => {{
        let mut session = $primary.session($lane).await?;
        let $lease = session.lease()?;
        let $connection = session.begin();
        match tokio::time::timeout($crate::store::postgres::pool::PATIENCE, $call).await {
            Ok(result) => session.end(result),
            Err(_) => Err($crate::domain::Error::unavailable("the database does not answer")),
        }
    }};
}

mod address;
mod audit;
mod cells;
mod clients;
mod copy;
mod evidence;
mod expiry;
mod explain;
mod fault;
mod feed;
mod foreign;
mod installation;
mod lease;
mod maintenance;
mod moment;
mod nodes;
mod obstacles;
mod open;
mod owner;
mod partitions;
mod pool;
mod records;
mod recovery;
mod restore;
mod roles;
mod rotation;
mod route;
mod schema;
mod session;
mod tokens;
mod unit;

use std::{ops::RangeInclusive, sync::Arc, time::Duration};

pub use self::{
    address::{Address, AddressError},
    fault::Denied,
    open::PostgresOptions,
    restore::Snapshot,
    roles::RolePrefix,
};
use self::{feed::PgFeed, nodes::applied_everywhere, pool::Primary};
use super::{
    AuditFilter, AuditStore, ClientChange, ClientStore, Creation, Feed, FeedStore, Finished,
    FoundClient, FoundOrFault, Readable, SchemaStore, TokenStore,
    migrate::{Migrated, SchemaError},
};
use crate::domain::{
    AccessToken, Actor, AuditEntry, AuditMark, ClientId, ClientRecord, CredentialId, Error, Random,
    StoredSecret, Timestamp, TokenId,
};
use async_trait::async_trait;

/// Timeout for reading one row.
const ONE_ROW: Duration = Duration::from_secs(2);

/// Store on Postgres that uses the connections of one lane.
pub struct PostgresStore {
    primary: Arc<Primary>,
    lane: usize,
}

#[async_trait]
impl SchemaStore for PostgresStore {
    async fn migrate(&self, now: Timestamp, random: &dyn Random) -> Result<Migrated, SchemaError> {
        schema::migrate(&self.primary, now, random).await
    }

    async fn check_schema(&self) -> Result<(), SchemaError> {
        schema::check(&self.primary).await
    }

    async fn make_room(&self, now: Timestamp) -> Result<(), Error> {
        on_session!(self.primary, self.lane, |connection, _| partitions::make(connection, now))
    }

    async fn finish_restore(&self, _now: Timestamp, actor: &Actor) -> Result<Finished, Error> {
        restore::finish(&self.primary, actor).await
    }
}

#[async_trait]
impl ClientStore for PostgresStore {
    async fn find_client(
        &self,
        client_id: &ClientId,
        credential: Option<CredentialId>,
    ) -> Result<Option<FoundClient>, Error> {
        let found = async {
            on_session!(self.primary, self.lane, |connection, lease| clients::find(
                connection, client_id, credential, lease
            ))
        };
        // A caller waits for this row, and should get this error before its own deadline.
        let silent = || Err(Error::unavailable("the database does not answer"));
        tokio::time::timeout(ONE_ROW, found).await.unwrap_or_else(|_| silent())
    }

    async fn create_client(
        &self,
        record: &ClientRecord,
        secret: &StoredSecret,
        actor: &Actor,
    ) -> Result<Creation, Error> {
        on_session!(self.primary, self.lane, |connection, _| clients::create(
            connection, record, secret, actor
        ))
    }

    async fn create_client_without_secret(
        &self,
        record: &ClientRecord,
        actor: &Actor,
    ) -> Result<Creation, Error> {
        on_session!(self.primary, self.lane, |connection, _| clients::create_without_secret(
            connection, record, actor
        ))
    }

    async fn list_secrets(
        &self,
        client_id: &ClientId,
    ) -> Result<Vec<Readable<StoredSecret>>, Error> {
        on_session!(self.primary, self.lane, |connection, _| clients::list_secrets(
            connection, client_id
        ))
    }

    async fn change_client(
        &self,
        client_id: &ClientId,
        change: ClientChange,
        actor: &Actor,
    ) -> Result<bool, Error> {
        let found = on_session!(self.primary, self.lane, |connection, _| clients::change(
            connection, client_id, change, actor
        ))?;
        self.settle().await.map(|()| found)
    }

    async fn revoke_client_tokens(
        &self,
        client_id: &ClientId,
        actor: &Actor,
    ) -> Result<bool, Error> {
        let found = on_session!(self.primary, self.lane, |connection, _| clients::revoke_tokens(
            connection, client_id, actor
        ))?;
        self.settle().await.map(|()| found)
    }

    async fn delete_client(&self, client_id: &ClientId, actor: &Actor) -> Result<bool, Error> {
        let found = on_session!(self.primary, self.lane, |connection, _| clients::delete(
            connection, client_id, actor
        ))?;
        self.settle().await.map(|()| found)
    }

    async fn add_secret(&self, secret: &StoredSecret, actor: &Actor) -> Result<bool, Error> {
        on_session!(self.primary, self.lane, |connection, _| clients::add_secret(
            connection, secret, actor
        ))
    }
}

#[async_trait]
impl TokenStore for PostgresStore {
    async fn record_tokens(&self, tokens: &[AccessToken]) -> Result<Vec<TokenId>, Error> {
        let recorded = on_session!(self.primary, self.lane, |connection, lease| tokens::record(
            connection, tokens, lease
        ));
        let Err(Error::Internal { cause }) = &recorded else { return recorded };
        if !partitions::is_missing(cause) {
            return recorded;
        }
        // A clock was set to a time without partitions. Create them, and record again.
        let now = tokens.first().map_or(Timestamp::from_unix_micros(0), |token| token.issued_at);
        on_session!(self.primary, self.lane, |connection, _| partitions::make(connection, now))?;
        on_session!(self.primary, self.lane, |connection, lease| tokens::record(
            connection, tokens, lease
        ))
    }

    async fn find_tokens(&self, ids: &[TokenId]) -> Result<Vec<(TokenId, FoundOrFault)>, Error> {
        on_session!(self.primary, self.lane, |connection, lease| tokens::find(
            connection, ids, lease
        ))
    }

    async fn revoke_tokens(&self, ids: &[TokenId], _now: Timestamp) -> Result<(), Error> {
        on_session!(self.primary, self.lane, |connection, _| tokens::revoke(connection, ids))
    }
}

#[async_trait]
impl AuditStore for PostgresStore {
    async fn audit_after(&self, seq: i64, limit: u32) -> Result<Vec<Readable<AuditEntry>>, Error> {
        on_session!(self.primary, self.lane, |connection, _| audit::after(connection, seq, limit))
    }

    async fn search_audit(
        &self,
        filter: &AuditFilter,
        seqs: RangeInclusive<i64>,
        limit: u32,
    ) -> Result<Vec<Readable<AuditEntry>>, Error> {
        on_session!(self.primary, self.lane, |connection, _| audit::search(
            connection, filter, seqs, limit
        ))
    }

    async fn audit_head(&self) -> Result<Option<AuditMark>, Error> {
        on_session!(self.primary, self.lane, |connection, _| audit::head(connection))
    }
}

#[async_trait]
impl FeedStore for PostgresStore {
    async fn follow(&self, lease: Duration) -> Result<Box<dyn Feed>, Error> {
        self.primary.require_lease();
        Ok(Box::new(PgFeed::open(&self.primary, lease).await?))
    }

    async fn settle(&self) -> Result<(), Error> {
        applied_everywhere(&self.primary, self.lane).await
    }

    fn needs_lease(&self) -> bool {
        true
    }
}
