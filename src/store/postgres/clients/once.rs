//! Secrets, and requests for them that may come again, on Postgres.

use async_trait::async_trait;
use sqlx::{Connection, PgConnection, error::DatabaseError};
use uuid::Uuid;

use super::insert;
use crate::{
    domain::{
        Actor, ClientRecord, Error, MAX_LIVE_SECRETS, RequestKey, SecretHash, StoredSecret,
        Timestamp,
    },
    store::{
        EarlierRequest, FeedStore, PostgresStore, RequestStore,
        columns::live_secret,
        postgres::{fault::fault, moment::Moment},
        row,
    },
};

#[async_trait]
impl RequestStore for PostgresStore {
    async fn find_request(&self, id: Uuid, actor: &Actor) -> Result<Option<EarlierRequest>, Error> {
        on_session!(self.primary, self.lane, |connection, _| find_request(connection, id, actor))
    }

    async fn create_client_once(
        &self,
        record: &ClientRecord,
        secret: &StoredSecret,
        request: &RequestKey,
        actor: &Actor,
    ) -> Result<bool, Error> {
        on_session!(self.primary, self.lane, |connection, _| create_once(
            connection, record, secret, request, actor
        ))
    }

    async fn add_secret_once(
        &self,
        secret: &StoredSecret,
        request: &RequestKey,
        actor: &Actor,
    ) -> Result<bool, Error> {
        on_session!(self.primary, self.lane, |connection, _| add_once(
            connection, secret, request, actor
        ))
    }

    async fn remint_secret(
        &self,
        request: Uuid,
        hash: &SecretHash,
        _now: Timestamp,
        actor: &Actor,
    ) -> Result<bool, Error> {
        let is_new = on_session!(self.primary, self.lane, |connection, _| remint(
            connection, request, hash, actor
        ))?;
        self.settle().await.map(|()| is_new)
    }
}

async fn find_request(
    connection: &mut PgConnection,
    id: Uuid,
    actor: &Actor,
) -> Result<Option<EarlierRequest>, Error> {
    let row = sqlx::query(
        "select request.digest, request.secret, client.client_id
         from request left join client on client.id = request.client
         where request.actor = $1 and request.request_id = $2",
    )
    .bind(actor.as_str())
    .bind(id)
    .fetch_optional(connection)
    .await
    .map_err(fault)?;
    Ok(row.as_ref().map(row::earlier_request).transpose()?)
}

async fn create_once(
    connection: &mut PgConnection,
    record: &ClientRecord,
    secret: &StoredSecret,
    request: &RequestKey,
    actor: &Actor,
) -> Result<bool, Error> {
    is_first(insert(connection, record, secret, Some(request), actor).await)
}

async fn add_once(
    connection: &mut PgConnection,
    secret: &StoredSecret,
    request: &RequestKey,
    actor: &Actor,
) -> Result<bool, Error> {
    is_first(insert_secret(connection, secret, Some(request), actor).await)
}

/// Whether rows were stored. A request that came before at the same moment is no fault.
fn is_first(stored: Result<u64, sqlx::Error>) -> Result<bool, Error> {
    match stored {
        Ok(rows) => Ok(rows == 1),
        Err(error) => {
            let constraint = error.as_database_error().and_then(DatabaseError::constraint);
            if constraint == Some("request_pk") { Ok(false) } else { Err(fault(error)) }
        }
    }
}

pub(in crate::store::postgres) async fn add_secret(
    connection: &mut PgConnection,
    secret: &StoredSecret,
    actor: &Actor,
) -> Result<bool, Error> {
    Ok(insert_secret(connection, secret, None, actor).await.map_err(fault)? == 1)
}

/// Inserts a secret unless its client has as many live ones as it may have, and the request for it
/// if that may come again.
async fn insert_secret(
    connection: &mut PgConnection,
    secret: &StoredSecret,
    request: Option<&RequestKey>,
    actor: &Actor,
) -> Result<u64, sqlx::Error> {
    let mut transaction = connection.begin().await?;
    // So that no other secret is added or restored between the count and the insert. A statement of
    // its own, because the count must see what was committed while this one waited.
    sqlx::query("select from client where id = $1 for no key update")
        .bind(secret.client.0)
        .execute(&mut *transaction)
        .await?;
    let inserted = sqlx::query(concat!(
        "with holder as (
             select id from client
             where id = $2 and $10 > (select count(*) from client_secret as live
                                      where live.client = $2 and ",
        live_secret!("$5"),
        ")),
         noted as (
             insert into request (actor, request_id, digest, client, secret)
             select $7, $8, $9, id, $1 from holder where $8::uuid is not null)
         insert into client_secret (id, client, hash, label, created_at, expires_at)
         select $1, id, $3, $4,
                greatest($5, (select tag_key_since + interval '1 microsecond' from installation)),
                $6
         from holder, (select set_config('jeton.actor', $7, true)) as actor"
    ))
    .bind(secret.id.0)
    .bind(secret.client.0)
    .bind(secret.hash.as_str())
    .bind(&secret.label)
    .bind(Moment(secret.created_at))
    .bind(secret.expires_at.map(Moment))
    .bind(actor.as_str())
    .bind(request.map(RequestKey::id))
    .bind(request.map(|request| &request.digest()[..]))
    .bind(i64::from(MAX_LIVE_SECRETS))
    .execute(&mut *transaction)
    .await?
    .rows_affected();
    transaction.commit().await?;
    Ok(inserted)
}

async fn remint(
    connection: &mut PgConnection,
    request: Uuid,
    hash: &SecretHash,
    actor: &Actor,
) -> Result<bool, Error> {
    sqlx::query_scalar(
        "select remint_secret($1, $2, $3)
         from (select set_config('jeton.actor', $1, true)) as actor",
    )
    .bind(actor.as_str())
    .bind(request)
    .bind(hash.as_str())
    .fetch_one(connection)
    .await
    .map_err(fault)
}
