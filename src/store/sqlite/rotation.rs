//! Rotation of secrets on SQLite: retirements, and evidence of use (`evidence.rs`).

use std::{sync::PoisonError, time::Duration};

use async_trait::async_trait;
use sqlx::SqlitePool;
use uuid::Uuid;

use super::{SqliteStore, audit, evidence, feed};
use crate::{
    domain::{
        Actor, ClientId, Error, MAX_LIVE_SECRETS, SecretHash, SecretId, SecretUse, Timestamp,
    },
    store::{
        FORGET_AFTER, Readable, Retirement, RotationStore, SecretChange, StoredEvidence,
        UnusedClient,
        columns::{live_secret, may_end},
    },
};

#[async_trait]
impl RotationStore for SqliteStore {
    async fn begin_evidence(&self, now: Timestamp, due: Duration) -> Result<(), Error> {
        let id = evidence::begin(&self.writer, now, due).await?;
        *self.recorder.lock().unwrap_or_else(PoisonError::into_inner) = Some(id);
        Ok(())
    }

    async fn record_uses(&self, uses: &[(SecretId, SecretUse)]) -> Result<(), Error> {
        evidence::record(&self.writer, uses).await
    }

    async fn mark_evidence(
        &self,
        flushed_at: Timestamp,
        due: Duration,
        lost_since: Option<Timestamp>,
    ) -> Result<(), Error> {
        let Some(id) = self.recorder() else { return Ok(()) };
        evidence::mark(&self.writer, id, flushed_at, due, lost_since).await
    }

    async fn end_evidence(&self) -> Result<(), Error> {
        let Some(id) = self.recorder() else { return Ok(()) };
        evidence::end(&self.writer, id).await
    }

    async fn evidence(&self, now: Timestamp) -> Result<StoredEvidence, Error> {
        evidence::read(&self.reader, now).await
    }

    async fn secret_uses(
        &self,
        client_id: &ClientId,
    ) -> Result<Vec<(SecretId, Readable<SecretUse>)>, Error> {
        evidence::uses(&self.reader, client_id).await
    }

    async fn last_uses(&self, secrets: &[SecretId]) -> Result<Vec<(SecretId, Timestamp)>, Error> {
        evidence::last_uses(&self.reader, secrets).await
    }

    async fn unused_clients(
        &self,
        since: Timestamp,
        after: Option<&ClientId>,
        limit: u32,
    ) -> Result<Vec<Option<UnusedClient>>, Error> {
        evidence::unused(&self.reader, since, after, limit).await
    }

    async fn update_secret(
        &self,
        client_id: &ClientId,
        secret: SecretId,
        change: &SecretChange,
        now: Timestamp,
        actor: &Actor,
    ) -> Result<bool, Error> {
        let changed = update(&self.writer, client_id, secret, change, now, actor).await?;
        feed::applied_everywhere().await;
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
        let retired = retire(
            &self.writer,
            client_id,
            secret,
            retirement,
            even_if_last || retirement == Retirement::Leaked,
            now,
            actor,
        )
        .await?;
        feed::applied_everywhere().await;
        Ok(retired)
    }

    async fn restore_secret(
        &self,
        client_id: &ClientId,
        secret: SecretId,
        now: Timestamp,
        actor: &Actor,
    ) -> Result<bool, Error> {
        let restored = restore(&self.writer, client_id, secret, now, actor).await?;
        feed::applied_everywhere().await;
        Ok(restored)
    }
}

impl SqliteStore {
    /// Id of this node in `evidence`; `None` if it has not announced itself.
    fn recorder(&self) -> Option<Uuid> {
        *self.recorder.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Retires a secret or declares it leaked. The time of the first retirement is kept. A retired
/// secret can still be declared leaked.
async fn retire(
    writer: &SqlitePool,
    client_id: &ClientId,
    secret: SecretId,
    retirement: Retirement,
    even_if_last: bool,
    now: Timestamp,
    actor: &Actor,
) -> Result<bool, Error> {
    let statement = match retirement {
        Retirement::At(moment) => sqlx::query(RETIRE_LATER).bind(Some(moment.unix_micros())),
        Retirement::Retired => sqlx::query(RETIRE).bind(None::<i64>),
        Retirement::Leaked => sqlx::query(RETIRE).bind(Some(now.unix_micros())),
    };
    let statement = statement
        .bind(client_id.as_str().to_owned())
        .bind(secret.0)
        .bind(now.unix_micros())
        .bind(even_if_last);
    Ok(audit::change(writer, actor, vec![statement]).await? == 1)
}

/// Retires now. $1 is when the secret was found to have leaked; null if it did not. $5 is whether
/// it may be the last one.
const RETIRE: &str = concat!(
    "update client_secret
     set retired_at = coalesce(retired_at, $4), burnt_at = coalesce(burnt_at, $1)
     where id = $3 and client = (select id from client where client_id = $2) and ",
    may_end!("$5")
);

/// Retires a live secret at the moment $1, or at its own expiry if that is earlier. A retirement
/// that has not begun is replaced. $5 is whether it may be the last one.
const RETIRE_LATER: &str = concat!(
    "update client_secret
     set retire_at = min($1, coalesce(iif(retire_at is null, expires_at, kept_expires_at), $1)),
         expires_at = min($1, coalesce(iif(retire_at is null, expires_at, kept_expires_at), $1)),
         kept_expires_at = iif(retire_at is null, expires_at, kept_expires_at)
     where id = $3 and client = (select id from client where client_id = $2)
       and retired_at is null and burnt_at is null and (expires_at is null or expires_at > $4)
       and ",
    may_end!("$5")
);

/// Changes a secret. The expiry of one whose retirement was asked for in advance is the one that it
/// had before that.
async fn update(
    writer: &SqlitePool,
    client_id: &ClientId,
    secret: SecretId,
    change: &SecretChange,
    now: Timestamp,
    actor: &Actor,
) -> Result<bool, Error> {
    let statement = sqlx::query(
        "update client_secret
         set label = coalesce($3, label),
             expires_at = min(coalesce(expires_at, $4), coalesce($4, expires_at)),
             kept_expires_at = iif(retire_at is null, kept_expires_at,
                                   min(coalesce(kept_expires_at, $4),
                                       coalesce($4, kept_expires_at)))
         where id = $2 and client = (select id from client where client_id = $1)
           and ($4 is null
                or retired_at is null and burnt_at is null
                   and (expires_at is null or expires_at > $5)
                   and coalesce(iif(retire_at is null, expires_at, kept_expires_at), $4) >= $4)",
    )
    .bind(client_id.as_str().to_owned())
    .bind(secret.0)
    .bind(change.label.clone())
    .bind(change.expires_at.map(Timestamp::unix_micros))
    .bind(now.unix_micros());
    Ok(audit::change(writer, actor, vec![statement]).await? == 1)
}

async fn restore(
    writer: &SqlitePool,
    client_id: &ClientId,
    secret: SecretId,
    now: Timestamp,
    actor: &Actor,
) -> Result<bool, Error> {
    let statement = sqlx::query(concat!(
        "update client_secret
         set retired_at = null, retire_at = null, kept_expires_at = null,
             expires_at = iif(retire_at is null, expires_at, kept_expires_at)
         where id = $2 and client = (select id from client where client_id = $1)
           and burnt_at is null and forgotten_at is null
           and $4 > (select count(*) from client_secret as live
                     where live.client = client_secret.client and live.id <> $2 and ",
        live_secret!("$3"),
        ")"
    ))
    .bind(client_id.as_str().to_owned())
    .bind(secret.0)
    .bind(now.unix_micros())
    .bind(MAX_LIVE_SECRETS);
    Ok(audit::change(writer, actor, vec![statement]).await? == 1)
}

/// Erases the hashes of some secrets that ended long ago. What one call leaves, the next round
/// erases.
pub(super) async fn forget_hashes(writer: &SqlitePool, now: Timestamp) -> Result<u64, Error> {
    /// Maximum secrets of one call, each of which has a row in the audit trail.
    const MOST: u32 = 200;
    let statement = sqlx::query(
        "update client_secret
         set hash = $1, forgotten_at = $2, foreign_hash = iif(is_foreign, $1, null)
         where id in (select id from client_secret
                      where forgotten_at is null
                        and (retired_at < $3 or burnt_at < $3 or expires_at < $3)
                      limit $4)",
    )
    .bind(SecretHash::ERASED)
    .bind(now.unix_micros())
    .bind(now.minus(FORGET_AFTER).unix_micros())
    .bind(MOST);
    audit::change(writer, &Actor::node(), vec![statement]).await
}
