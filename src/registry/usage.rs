//! Which clients were used lately.

use std::time::Duration;

use super::{Registry, RegistryError};
use crate::domain::{ClientId, Evidence};

/// What is known of the use of some clients within a while.
#[derive(Debug, Default)]
pub struct Usage {
    /// Those that authenticated.
    pub used: Vec<ClientId>,
    /// Those that may have: not all uses were counted, or a row cannot be read.
    pub unknown: Vec<ClientId>,
}

impl Registry {
    /// Tells which of these clients have authenticated within a while. Waits up to `patience` for
    /// nodes to write what they counted until now.
    pub async fn usage(
        &self,
        clients: &[&ClientId],
        time: Duration,
        patience: Duration,
    ) -> Result<Usage, RegistryError> {
        let mut usage = Usage::default();
        if clients.is_empty() {
            return Ok(usage);
        }
        let evidence = self.awaited_evidence(patience).await?;
        for client_id in clients {
            match self.was_used(client_id, time, &evidence).await? {
                Some(true) => usage.used.push((*client_id).clone()),
                Some(false) => {}
                None => usage.unknown.push((*client_id).clone()),
            }
        }
        Ok(usage)
    }

    /// Whether a client has authenticated within a while; `None` if that is not known.
    async fn was_used(
        &self,
        client_id: &ClientId,
        time: Duration,
        evidence: &Evidence,
    ) -> Result<Option<bool>, RegistryError> {
        let since = evidence.asked_at().minus(time);
        let secrets = self.store.list_secrets(client_id).await?;
        let uses = self.store.secret_uses(client_id).await?;
        let mut last = uses.iter().filter_map(|(_, uses)| uses.as_ref().ok()?.last_used_at());
        if last.any(|last| last >= since) {
            return Ok(Some(true));
        }
        // Before its first secret was made, no use can have been missed.
        let first = secrets.iter().flatten().map(|secret| secret.created_at).min();
        let has_gap = first.is_some_and(|first| evidence.gap_after(first.max(since)).is_some());
        let is_readable =
            secrets.iter().all(Result::is_ok) && uses.iter().all(|(_, of)| of.is_ok());
        Ok((is_readable && !has_gap).then_some(false))
    }
}
