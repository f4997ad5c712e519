//! How secrets end, how a retirement is taken back, and what a client keeps.

use std::time::Duration;

use super::{Registry, RegistryError};
use crate::{
    domain::{Client, ClientId, SecretId, SecretState, StoredSecret, Timestamp, TokenLifetime},
    store::{FORGET_AFTER, Readable, Retirement},
};

impl Registry {
    /// Takes a secret out of use, also the last live one of its client: retires it, now or later,
    /// or declares it leaked.
    pub async fn retire_secret(
        &self,
        client_id: &ClientId,
        secret: SecretId,
        retirement: Retirement,
    ) -> Result<(), RegistryError> {
        self.end_secret(client_id, secret, retirement, true).await
    }

    /// The same for a secret that is retired, unless it is the last live one of its client.
    /// Whatever is retired at the same time, the client keeps one.
    pub async fn retire_unless_last(
        &self,
        client_id: &ClientId,
        secret: SecretId,
        retirement: Retirement,
    ) -> Result<(), RegistryError> {
        self.end_secret(client_id, secret, retirement, false).await
    }

    async fn end_secret(
        &self,
        client_id: &ClientId,
        secret: SecretId,
        retirement: Retirement,
        even_if_last: bool,
    ) -> Result<(), RegistryError> {
        let (now, actor) = (self.clock.now(), &self.actor);
        let ended =
            self.store.retire_secret(client_id, secret, retirement, even_if_last, now, actor);
        if ended.await? {
            return Ok(());
        }
        let found = self.secret(client_id, secret).await?;
        if !even_if_last && found.is_live(now) {
            return Err(RegistryError::LastLiveSecret(client_id.clone(), secret.0));
        }
        // A retirement that begins later is refused for a secret that has ended already.
        Err(RegistryError::SecretEnded(client_id.clone(), secret.0, found.state(now)))
    }

    /// Fails if a secret that is live was used within the last day, as far as it is known. Waits up
    /// to `patience` for nodes to write what they counted until now.
    pub async fn check_unused(
        &self,
        client_id: &ClientId,
        secret: SecretId,
        patience: Duration,
    ) -> Result<(), RegistryError> {
        // One that has ended already stays as it is.
        if let Ok(found) = self.secret(client_id, secret).await
            && !found.is_live(self.clock.now())
        {
            return Ok(());
        }
        self.check_written_uses(client_id, secret).await?;
        self.awaited_evidence(patience).await?;
        self.check_written_uses(client_id, secret).await
    }

    async fn check_written_uses(
        &self,
        client_id: &ClientId,
        secret: SecretId,
    ) -> Result<(), RegistryError> {
        let uses = self.store.secret_uses(client_id).await?;
        let uses = uses.into_iter().find(|(id, _)| *id == secret).map(|(_, uses)| uses);
        let uses = uses.transpose().map_err(RegistryError::Unreadable)?.unwrap_or_default();
        let window = TokenLifetime::MAX.duration();
        match uses.last_used_at() {
            Some(at) if at > self.clock.now().minus(window) => Err(RegistryError::SecretInUse {
                client_id: client_id.clone(),
                secret: secret.0,
                at,
                address: uses.last_source,
            }),
            _ => Ok(()),
        }
    }

    /// Takes the retirement of a secret back, whether or not it has begun. Nothing else changes: a
    /// secret that is live stays as it is.
    pub async fn restore_secret(
        &self,
        client_id: &ClientId,
        secret: SecretId,
    ) -> Result<StoredSecret, RegistryError> {
        let found = self.secret(client_id, secret).await?;
        let now = self.clock.now();
        if found.state(now) == SecretState::Live {
            return Ok(found);
        }
        check_restorable(&found, client_id, now)?;
        if !self.store.restore_secret(client_id, secret, now, &self.actor).await? {
            // It may have leaked since it was read.
            check_restorable(&self.secret(client_id, secret).await?, client_id, now)?;
            return Err(self.too_many_secrets(client_id).await?);
        }
        self.secret(client_id, secret).await
    }

    /// Why a secret could not be added to a client.
    pub(super) async fn why_not_added(
        &self,
        client: &Client,
    ) -> Result<RegistryError, RegistryError> {
        let client_id = &client.client_id;
        if self.find(client_id).await?.key != client.key {
            return Err(RegistryError::NoSuchClient(client_id.clone()));
        }
        self.too_many_secrets(client_id).await
    }

    /// The refusal of one more live secret, which names the one that was not used for the longest
    /// time.
    pub(super) async fn too_many_secrets(
        &self,
        client_id: &ClientId,
    ) -> Result<RegistryError, RegistryError> {
        let now = self.clock.now();
        let secrets = self.last_uses(client_id).await?;
        let live = secrets.iter().filter(|(secret, _)| secret.is_live(now));
        let unused =
            live.min_by_key(|(secret, uses)| uses.last_used_at().unwrap_or(secret.created_at));
        Ok(match unused {
            Some((unused, _)) => {
                RegistryError::TooManySecrets { client_id: client_id.clone(), unused: unused.id.0 }
            }
            None => RegistryError::ChangedMeanwhile(client_id.clone()),
        })
    }

    pub(super) async fn secret(
        &self,
        client_id: &ClientId,
        secret: SecretId,
    ) -> Result<StoredSecret, RegistryError> {
        for row in self.store.list_secrets(client_id).await? {
            match row {
                Ok(found) if found.id == secret => return Ok(found),
                Err(row) if row.id == Some(secret.0) => return Err(RegistryError::Unreadable(row)),
                _ => {}
            }
        }
        self.find(client_id).await?;
        Err(RegistryError::NoSuchSecret(client_id.clone(), secret.0))
    }
}

/// Whether a client has a live secret among these, and keeps none once they have ended. A secret
/// whose retirement was announced is not kept, nor one that cannot be read. It decides what a
/// person is asked. The store has the last word, because others may retire a secret meanwhile.
#[must_use]
pub fn leaves_no_secret(
    secrets: &[Readable<StoredSecret>],
    ended: &[SecretId],
    now: Timestamp,
) -> bool {
    let (ending, kept): (Vec<_>, Vec<_>) = secrets.iter().partition(|secret| match secret {
        Ok(secret) => ended.contains(&secret.id),
        Err(row) => row.id.is_some_and(|id| ended.contains(&SecretId(id))),
    });
    let is_kept = |secret: &StoredSecret| secret.is_live(now) && secret.retiring.is_none();
    ending.into_iter().any(|secret| secret.as_ref().map_or(true, |of| of.is_live(now)))
        && !kept.into_iter().flatten().any(is_kept)
}

/// Fails unless the retirement of a secret can be taken back. That ends when upkeep may erase its
/// hash, whether or not it has done so.
fn check_restorable(
    secret: &StoredSecret,
    client_id: &ClientId,
    now: Timestamp,
) -> Result<(), RegistryError> {
    let (client_id, id) = (client_id.clone(), secret.id.0);
    let ended = [secret.retired_at, secret.expires_at].into_iter().flatten().min();
    match (secret.state(now), secret.own_expiry()) {
        (SecretState::Leaked, _) => Err(RegistryError::SecretLeaked(client_id, id)),
        (SecretState::Forgotten, _) => Err(RegistryError::SecretForgotten(client_id, id)),
        (_, Some(end)) if end <= now => Err(RegistryError::SecretExpired(client_id, id, end)),
        _ if ended.is_some_and(|end| end < now.minus(FORGET_AFTER)) => {
            Err(RegistryError::SecretForgotten(client_id, id))
        }
        _ => Ok(()),
    }
}
