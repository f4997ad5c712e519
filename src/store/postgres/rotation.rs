//! Rotation of secrets on Postgres: retirements, and evidence of use (`evidence.rs`).

use std::time::Duration;

use async_trait::async_trait;
use sqlx::{Connection, PgConnection};

use super::{PostgresStore, evidence, fault::fault, moment::Moment, nodes::applied_everywhere};
use crate::{
    domain::{Actor, ClientId, Error, MAX_LIVE_SECRETS, SecretId, SecretUse, Timestamp},
    store::{
        Readable, Retirement, RotationStore, SecretChange, StoredEvidence, UnusedClient,
        columns::{live_secret, may_end},
    },
};

#[async_trait]
impl RotationStore for PostgresStore {
    async fn begin_evidence(&self, _now: Timestamp, due: Duration) -> Result<(), Error> {
        let id =
            on_session!(self.primary, self.lane, |connection, _| evidence::begin(connection, due))?;
        self.primary.set_recorder(id);
        Ok(())
    }

    async fn record_uses(&self, uses: &[(SecretId, SecretUse)]) -> Result<(), Error> {
        on_session!(self.primary, self.lane, |connection, _| evidence::record(connection, uses))
    }

    async fn mark_evidence(
        &self,
        flushed_at: Timestamp,
        due: Duration,
        lost_since: Option<Timestamp>,
    ) -> Result<(), Error> {
        let Some(id) = self.primary.recorder() else { return Ok(()) };
        on_session!(self.primary, self.lane, |connection, _| evidence::mark(
            connection, id, flushed_at, due, lost_since
        ))
    }

    async fn end_evidence(&self) -> Result<(), Error> {
        let Some(id) = self.primary.recorder() else { return Ok(()) };
        on_session!(self.primary, self.lane, |connection, _| evidence::end(connection, id))
    }

    async fn evidence(&self, _now: Timestamp) -> Result<StoredEvidence, Error> {
        on_session!(self.primary, self.lane, |connection, _| evidence::read(connection))
    }

    async fn secret_uses(
        &self,
        client_id: &ClientId,
    ) -> Result<Vec<(SecretId, Readable<SecretUse>)>, Error> {
        on_session!(self.primary, self.lane, |connection, _| evidence::uses(connection, client_id))
    }

    async fn last_uses(&self, secrets: &[SecretId]) -> Result<Vec<(SecretId, Timestamp)>, Error> {
        on_session!(self.primary, self.lane, |connection, _| evidence::last_uses(
            connection, secrets
        ))
    }

    async fn unused_clients(
        &self,
        since: Timestamp,
        after: Option<&ClientId>,
        limit: u32,
    ) -> Result<Vec<Option<UnusedClient>>, Error> {
        on_session!(self.primary, self.lane, |connection, _| evidence::unused(
            connection, since, after, limit
        ))
    }

    async fn update_secret(
        &self,
        client_id: &ClientId,
        secret: SecretId,
        change: &SecretChange,
        now: Timestamp,
        actor: &Actor,
    ) -> Result<bool, Error> {
        let changed = on_session!(self.primary, self.lane, |connection, _| update(
            connection, client_id, secret, change, now, actor
        ))?;
        applied_everywhere(&self.primary, self.lane).await?;
        Ok(changed)
    }

    async fn retire_secret(
        &self,
        client_id: &ClientId,
        secret: SecretId,
        retirement: Retirement,
        even_if_last: bool,
        now: Timestamp,
        actor: &Actor,
    ) -> Result<bool, Error> {
        let retired = on_session!(self.primary, self.lane, |connection, _| retire(
            connection,
            client_id,
            secret,
            retirement,
            even_if_last,
            now,
            actor
        ))?;
        applied_everywhere(&self.primary, self.lane).await?;
        Ok(retired)
    }

    async fn restore_secret(
        &self,
        client_id: &ClientId,
        secret: SecretId,
        now: Timestamp,
        actor: &Actor,
    ) -> Result<bool, Error> {
        let restored = on_session!(self.primary, self.lane, |connection, _| restore(
            connection, client_id, secret, now, actor
        ))?;
        applied_everywhere(&self.primary, self.lane).await?;
        Ok(restored)
    }
}

async fn retire(
    connection: &mut PgConnection,
    client_id: &ClientId,
    secret: SecretId,
    retirement: Retirement,
    even_if_last: bool,
    now: Timestamp,
    actor: &Actor,
) -> Result<bool, Error> {
    // A secret that leaked ends in any case, and waits for nobody.
    if even_if_last || retirement == Retirement::Leaked {
        return end(connection, client_id, secret, retirement, true, now, actor).await;
    }
    let mut transaction = connection.begin().await.map_err(fault)?;
    lock_client(&mut transaction, client_id).await?;
    let ended = end(&mut transaction, client_id, secret, retirement, false, now, actor).await?;
    transaction.commit().await.map_err(fault)?;
    Ok(ended)
}

/// Retires a secret or declares it leaked. The time of the first retirement is kept. A retired
/// secret can still be declared leaked.
async fn end(
    connection: &mut PgConnection,
    client_id: &ClientId,
    secret: SecretId,
    retirement: Retirement,
    even_if_last: bool,
    now: Timestamp,
    actor: &Actor,
) -> Result<bool, Error> {
    let statement = match retirement {
        Retirement::At(moment) => sqlx::query(RETIRE_LATER).bind(Moment(moment)),
        Retirement::Retired => sqlx::query(RETIRE).bind(None::<Moment>),
        Retirement::Leaked => sqlx::query(RETIRE).bind(Moment(now)),
    };
    let rows = statement
        .bind(client_id.as_str())
        .bind(secret.0)
        .bind(Moment(now))
        .bind(actor.as_str())
        .bind(even_if_last)
        .execute(connection)
        .await
        .map_err(fault)?
        .rows_affected();
    Ok(rows == 1)
}

/// Locks a client, so that none of its secrets is added, restored or retired between a look at the
/// others and the change. A statement of its own, because the look must see what was committed
/// while this one waited.
async fn lock_client(connection: &mut PgConnection, client_id: &ClientId) -> Result<(), Error> {
    sqlx::query("select from client where client_id = $1 for no key update")
        .bind(client_id.as_str())
        .execute(connection)
        .await
        .map_err(fault)?;
    Ok(())
}

/// Retires now. $1 is when the secret was found to have leaked; null if it did not. $6 is whether
/// it may be the last one.
const RETIRE: &str = concat!(
    "update client_secret
     set retired_at = coalesce(retired_at, $4), burnt_at = coalesce(burnt_at, $1)
     from (select set_config('jeton.actor', $5, true)) as actor
     where id = $3 and client = (select id from client where client_id = $2) and ",
    may_end!("$6")
);

/// Retires a live secret at the moment $1, or at its own expiry if that is earlier. A retirement
/// that has not begun is replaced. $6 is whether it may be the last one.
const RETIRE_LATER: &str = concat!(
    "update client_secret
     set retire_at = least($1, own.expiry), expires_at = least($1, own.expiry),
         kept_expires_at = own.expiry
     from (select set_config('jeton.actor', $5, true)) as actor,
          (select id as secret,
                  case when retire_at is null then expires_at else kept_expires_at end as expiry
           from client_secret where id = $3) as own
     where id = own.secret and client = (select id from client where client_id = $2)
       and retired_at is null and burnt_at is null and (expires_at is null or expires_at > $4)
       and ",
    may_end!("$6")
);

/// Changes a secret. The expiry of one whose retirement was asked for in advance is the one that it
/// had before that.
async fn update(
    connection: &mut PgConnection,
    client_id: &ClientId,
    secret: SecretId,
    change: &SecretChange,
    now: Timestamp,
    actor: &Actor,
) -> Result<bool, Error> {
    let rows = sqlx::query(
        "update client_secret
         set label = coalesce($4, label), expires_at = least(expires_at, $5),
             kept_expires_at = case when retire_at is null then kept_expires_at
                                    else least(kept_expires_at, $5) end
         from (select set_config('jeton.actor', $3, true)) as actor
         where id = $2 and client = (select id from client where client_id = $1)
           and ($5::timestamptz is null
                or retired_at is null and burnt_at is null
                   and (expires_at is null or expires_at > $6)
                   and coalesce(case when retire_at is null then expires_at
                                     else kept_expires_at end, 'infinity') >= $5)",
    )
    .bind(client_id.as_str())
    .bind(secret.0)
    .bind(actor.as_str())
    .bind(change.label.as_deref())
    .bind(change.expires_at.map(Moment))
    .bind(Moment(now))
    .execute(connection)
    .await
    .map_err(fault)?
    .rows_affected();
    Ok(rows == 1)
}

async fn restore(
    connection: &mut PgConnection,
    client_id: &ClientId,
    secret: SecretId,
    now: Timestamp,
    actor: &Actor,
) -> Result<bool, Error> {
    let mut transaction = connection.begin().await.map_err(fault)?;
    lock_client(&mut transaction, client_id).await?;
    let rows = sqlx::query(concat!(
        "update client_secret
         set retired_at = null, retire_at = null, kept_expires_at = null,
             expires_at = case when retire_at is null then expires_at else kept_expires_at end
         from (select set_config('jeton.actor', $3, true)) as actor
         where id = $2 and client = (select id from client where client_id = $1)
           and burnt_at is null and forgotten_at is null
           and $5 > (select count(*) from client_secret as live
                     where live.client = client_secret.client and live.id <> $2 and ",
        live_secret!("$4"),
        ")"
    ))
    .bind(client_id.as_str())
    .bind(secret.0)
    .bind(actor.as_str())
    .bind(Moment(now))
    .bind(i64::from(MAX_LIVE_SECRETS))
    .execute(&mut *transaction)
    .await
    .map_err(fault)?
    .rows_affected();
    transaction.commit().await.map_err(fault)?;
    Ok(rows == 1)
}
