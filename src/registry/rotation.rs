//! Rotation of secrets: whether they are still used, and which ones can be retired.

use std::{collections::HashMap, time::Duration};

use tokio::time::sleep;

use super::{Registry, RegistryError};
use crate::{
    domain::{
        Advice, ClientId, Evidence, SecretId, SecretUse, StoredSecret, Successor, Timestamp,
        Verdict,
    },
    store::{EndingSecret, Readable, UnusedClient},
};

/// How long a question should wait for nodes to write down what they counted. They do so every ten
/// seconds unless they are configured otherwise.
pub const EVIDENCE_PATIENCE: Duration = Duration::from_secs(20);

/// Rows that one query for a page reads: one more than the largest page has. Few of them cannot be
/// read.
const ROWS: u32 = 501;

/// Pause between two looks at what the nodes have written.
pub(super) const LOOK: Duration = Duration::from_millis(250);

/// Secrets of a client with the evidence of their use.
#[derive(Debug)]
pub struct RotationReport {
    /// All secrets, oldest first.
    pub secrets: Vec<SecretReport>,
    /// How far the evidence goes.
    pub evidence: Evidence,
    /// How long a secret must not have been used before it counts as unused.
    pub window: Duration,
}

/// A secret with the evidence of its use.
#[derive(Debug)]
pub struct SecretReport {
    /// The secret.
    pub secret: Readable<StoredSecret>,
    /// Its uses.
    pub uses: Readable<SecretUse>,
    /// Whether it can be retired; `None` if it is not live, or if a row cannot be read.
    pub advice: Option<Advice>,
}

/// A secret that expires soon.
#[derive(Debug)]
pub struct ExpiringSecret {
    /// The secret.
    pub secret: EndingSecret,
    /// Its last use, as far as it is known.
    pub last_used_at: Option<Timestamp>,
}

/// Clients that have not authenticated for a while.
#[derive(Debug)]
pub struct UnusedClients {
    /// Their ids in order, each with the last time that it authenticated.
    pub clients: Vec<UnusedClient>,
    /// Whether there are more.
    pub has_more: bool,
    /// Since when they have not.
    pub since: Timestamp,
    /// How far the evidence goes.
    pub evidence: Evidence,
}

impl UnusedClients {
    /// Whether it is known that they were not used. Otherwise nothing is known about them.
    #[must_use]
    pub fn is_known(&self) -> bool {
        self.evidence.gap_after(self.since).is_none()
    }
}

impl Registry {
    /// Returns the secrets of a client with their uses, without waiting for what nodes have still
    /// to write. Rows that cannot be read are left out.
    pub async fn last_uses(
        &self,
        client_id: &ClientId,
    ) -> Result<Vec<(StoredSecret, SecretUse)>, RegistryError> {
        let secrets = self.store.list_secrets(client_id).await?;
        let mut uses: HashMap<_, _> =
            self.store.secret_uses(client_id).await?.into_iter().collect();
        let with_uses = secrets.into_iter().flatten().filter_map(|secret| {
            let uses = uses.remove(&secret.id).unwrap_or_else(|| Ok(SecretUse::default()));
            Some((secret, uses.ok()?))
        });
        Ok(with_uses.collect())
    }

    /// Reports the secrets of a client, and which of them can be retired because they were not used
    /// for a `window`, which is at least the lifetime of the client's tokens. Waits up to
    /// `patience` for nodes to write what they counted until now, if a verdict depends on it.
    pub async fn report_secrets(
        &self,
        client_id: &ClientId,
        window: Duration,
        patience: Duration,
    ) -> Result<RotationReport, RegistryError> {
        let window = window.max(self.find(client_id).await?.token_lifetime.duration());
        let deadline = self.clock.uptime() + patience;
        let asked_at = self.store.evidence(self.clock.now()).await?.now;
        loop {
            let evidence = self.evidence(asked_at).await?;
            let secrets = self.store.list_secrets(client_id).await?;
            let uses = self.store.secret_uses(client_id).await?.into_iter().collect();
            let secrets = reports(secrets, uses, &evidence, window);
            let mut advice = secrets.iter().filter_map(|report| report.advice);
            let is_open = advice.any(|advice| advice.verdict == Verdict::EvidenceGap);
            if !is_open || !evidence.is_awaited(window) || self.clock.uptime() > deadline {
                return Ok(RotationReport { secrets, evidence, window });
            }
            sleep(LOOK).await;
        }
    }

    /// Lists the secrets of active clients that expire within a while, the first to expire first.
    pub async fn expiring_secrets(
        &self,
        within: Duration,
    ) -> Result<Vec<ExpiringSecret>, RegistryError> {
        let now = self.clock.now();
        let ending = self.store.ending_secrets(now, None, now.plus(within), u32::MAX).await?;
        self.with_last_uses(ending.into_iter().flatten().collect()).await
    }

    /// Returns the first `size` of those that expire between two moments, and whether there are
    /// more. Secrets that expire at the same moment are in order of their id; of those that expire
    /// at `from`, all up to the id `after` are left out.
    pub async fn expiring_page(
        &self,
        from: Timestamp,
        after: Option<SecretId>,
        until: Timestamp,
        size: u32,
    ) -> Result<(Vec<ExpiringSecret>, bool), RegistryError> {
        let ending = self.store.ending_secrets(from, after, until, ROWS).await?;
        let (ending, has_more) = page(ending, ROWS, size);
        Ok((self.with_last_uses(ending).await?, has_more))
    }

    async fn with_last_uses(
        &self,
        ending: Vec<EndingSecret>,
    ) -> Result<Vec<ExpiringSecret>, RegistryError> {
        let ids: Vec<_> = ending.iter().map(|secret| secret.id).collect();
        let last: HashMap<_, _> = self.store.last_uses(&ids).await?.into_iter().collect();
        let expiring = ending
            .into_iter()
            .map(|secret| ExpiringSecret { last_used_at: last.get(&secret.id).copied(), secret });
        Ok(expiring.collect())
    }

    /// Lists active clients that have not authenticated for a while, in order of their `client_id`:
    /// all, or the first `size`. Waits up to `patience` for nodes to write what they counted until
    /// now, if that decides whether it is known.
    pub async fn unused_clients(
        &self,
        time: Duration,
        patience: Duration,
        size: Option<u32>,
    ) -> Result<UnusedClients, RegistryError> {
        let deadline = self.clock.uptime() + patience;
        let asked_at = self.store.evidence(self.clock.now()).await?.now;
        loop {
            let unused = self.unused_at(asked_at, time, None, size).await?;
            let is_open = !unused.clients.is_empty() && unused.evidence.is_awaited(time);
            if !is_open || self.clock.uptime() > deadline {
                return Ok(unused);
            }
            sleep(LOOK).await;
        }
    }

    /// Returns the first `size` of those that come after the client `after`, for a question that
    /// was asked at an earlier moment. Does not wait.
    pub async fn unused_page(
        &self,
        asked_at: Timestamp,
        time: Duration,
        after: &ClientId,
        size: u32,
    ) -> Result<UnusedClients, RegistryError> {
        self.unused_at(asked_at, time, Some(after), Some(size)).await
    }

    async fn unused_at(
        &self,
        asked_at: Timestamp,
        time: Duration,
        after: Option<&ClientId>,
        size: Option<u32>,
    ) -> Result<UnusedClients, RegistryError> {
        let since = asked_at.minus(time);
        let evidence = self.evidence(asked_at).await?;
        let limit = size.map_or(u32::MAX, |_| ROWS);
        let rows = self.store.unused_clients(since, after, limit).await?;
        let (clients, has_more) = page(rows, limit, size.unwrap_or(u32::MAX));
        Ok(UnusedClients { clients, has_more, since, evidence })
    }

    /// Evidence for a question of this moment. Waits up to `patience` for nodes to write what they
    /// counted until now.
    pub async fn awaited_evidence(&self, patience: Duration) -> Result<Evidence, RegistryError> {
        let deadline = self.clock.uptime() + patience;
        let asked_at = self.store.evidence(self.clock.now()).await?.now;
        loop {
            let evidence = self.evidence(asked_at).await?;
            if !evidence.is_awaited(Duration::ZERO) || self.clock.uptime() > deadline {
                return Ok(evidence);
            }
            sleep(LOOK).await;
        }
    }

    pub(super) async fn evidence(&self, asked_at: Timestamp) -> Result<Evidence, RegistryError> {
        let stored = self.store.evidence(self.clock.now()).await?;
        Ok(Evidence::new(asked_at, stored.gaps, &stored.recorders))
    }
}

/// The first `size` rows of up to `limit` that can be read, and whether there are more.
fn page<T>(rows: Vec<Option<T>>, limit: u32, size: u32) -> (Vec<T>, bool) {
    let is_full = rows.len() >= limit as usize;
    let mut readable: Vec<_> = rows.into_iter().flatten().collect();
    let has_more = is_full || readable.len() > size as usize;
    readable.truncate(size as usize);
    (readable, has_more)
}

/// Joins secrets, oldest first, with their uses, and judges those that are live.
fn reports(
    secrets: Vec<Readable<StoredSecret>>,
    mut uses: HashMap<SecretId, Readable<SecretUse>>,
    evidence: &Evidence,
    window: Duration,
) -> Vec<SecretReport> {
    let mut successor = Successor::None;
    let mut reports = Vec::with_capacity(secrets.len());
    // From the newest on, so that the successors of each secret are known.
    for secret in secrets.into_iter().rev() {
        let id = match &secret {
            Ok(secret) => Some(secret.id),
            Err(row) => row.id.map(SecretId),
        };
        let uses = id.and_then(|id| uses.remove(&id)).unwrap_or_else(|| Ok(SecretUse::default()));
        let advice = match (&secret, &uses) {
            (Ok(secret), Ok(uses)) if secret.is_live(evidence.asked_at()) => {
                let advice = Advice::new(uses.last_used_at(), successor, evidence, window);
                if secret.retiring.is_none() {
                    successor = successor.or(uses.used.is_some());
                }
                Some(advice)
            }
            _ => None,
        };
        reports.push(SecretReport { secret, uses, advice });
    }
    reports.reverse();
    reports
}
