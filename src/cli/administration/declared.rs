//! What `jeton apply` and `jeton export` do with clients, in both ways: directly on a database or
//! through a node.

use std::time::Duration;

use super::{
    calls::stale,
    clients::Clients,
    message,
    node::{Calls, Node},
    reading::moment,
};
use crate::{
    domain::{ClientId, ClientRecord, ClientState, Clock, Etag, SystemClock, Timestamp},
    pb::v1,
    registry::{EVIDENCE_PATIENCE, NewClient, Usage},
    store::{ClientFilter, Readable},
};

impl Clients<'_> {
    /// Lists all clients in order of their client id.
    pub(in crate::cli) async fn records(&self) -> anyhow::Result<Vec<Readable<ClientRecord>>> {
        let all = ClientFilter::default();
        match self {
            Self::Database(registry) => Ok(registry.list_clients(&all).await?),
            Self::Node(node) => {
                let listed = node.list(&all, false).await?;
                Ok(listed.into_iter().map(|(record, _)| record).collect())
            }
        }
    }

    /// Creates a client that cannot authenticate until it is given a secret.
    pub(in crate::cli) async fn create_without_secret(&self, new: NewClient) -> anyhow::Result<()> {
        match self {
            Self::Database(registry) => {
                registry.create_client_without_secret(new).await?;
                Ok(())
            }
            Self::Node(node) => node.create_without_secret(new).await,
        }
    }

    /// Disables a client that still has this etag.
    pub(in crate::cli) async fn disable_unchanged(
        &self,
        client: &ClientId,
        etag: &Etag,
    ) -> anyhow::Result<()> {
        match self {
            Self::Database(registry) => {
                Ok(registry.set_state_of(client, ClientState::Disabled, etag).await?)
            }
            Self::Node(node) => node.disable_unchanged(client, etag).await,
        }
    }

    /// Deletes a client that still has this etag.
    pub(in crate::cli) async fn delete_unchanged(
        &self,
        client: &ClientId,
        etag: &Etag,
    ) -> anyhow::Result<()> {
        match self {
            Self::Database(registry) => Ok(registry.delete_unchanged(client, etag).await?),
            Self::Node(node) => node.delete_unchanged(client, etag).await,
        }
    }

    /// Tells which of these clients have authenticated within a while. Waits for nodes to write
    /// what they counted until now.
    pub(in crate::cli) async fn usage(
        &self,
        clients: &[&ClientId],
        time: Duration,
    ) -> anyhow::Result<Usage> {
        match self {
            Self::Database(registry) => {
                Ok(registry.usage(clients, time, EVIDENCE_PATIENCE).await?)
            }
            Self::Node(node) => node.usage(clients, SystemClock.now().minus(time)).await,
        }
    }
}

impl Node {
    async fn create_without_secret(&self, new: NewClient) -> anyhow::Result<()> {
        let message = v1::CreateClientRequest {
            client: Some(message::new_client(new)),
            without_secret: true,
            ..v1::CreateClientRequest::default()
        };
        self.ask(async |mut calls: Calls| calls.create_client(message).await).await?;
        Ok(())
    }

    async fn disable_unchanged(&self, client: &ClientId, etag: &Etag) -> anyhow::Result<()> {
        let (client_id, text) = (client.to_string(), etag.to_string());
        let message = v1::DisableClientRequest { client_id, etag: text };
        let disabled =
            self.call(async |mut calls: Calls| calls.disable_client(message).await).await;
        disabled.map_err(|failed| stale(client, failed))?;
        Ok(())
    }

    async fn delete_unchanged(&self, client: &ClientId, etag: &Etag) -> anyhow::Result<()> {
        let (client_id, text) = (client.to_string(), etag.to_string());
        let message = v1::DeleteClientRequest { client_id, etag: text };
        let deleted = self.call(async |mut calls: Calls| calls.delete_client(message).await).await;
        deleted.map_err(|failed| stale(client, failed))?;
        Ok(())
    }

    async fn usage(&self, clients: &[&ClientId], since: Timestamp) -> anyhow::Result<Usage> {
        let mut usage = Usage::default();
        // Once the first answer has awaited all uses until then, the others need not wait.
        let mut first = None;
        for client_id in clients {
            let message = v1::ListSecretsRequest {
                client_id: client_id.to_string(),
                at_once: first.is_some(),
                await_uses: first.is_none(),
                ..v1::ListSecretsRequest::default()
            };
            let listed =
                self.ask(async |mut calls: Calls| calls.list_secrets(message).await).await?;
            let is_open = *first.get_or_insert(listed.uses_outstanding);
            match was_used(&listed, since, is_open) {
                Some(true) => usage.used.push((*client_id).clone()),
                Some(false) => {}
                None => usage.unknown.push((*client_id).clone()),
            }
        }
        Ok(usage)
    }
}

/// Whether a client has authenticated since then; `None` if that is not known. `is_open` says
/// whether uses may not be written down yet.
fn was_used(listed: &v1::ListSecretsResponse, since: Timestamp, is_open: bool) -> Option<bool> {
    let secrets = || listed.secrets.iter();
    let uses = secrets().filter_map(|secret| secret.r#use.as_ref()?.last_use_time.as_ref());
    if uses.filter_map(moment).any(|last| last >= since) {
        return Some(true);
    }
    // Before its first secret was made, no use can have been missed.
    let made = secrets().filter_map(|secret| secret.create_time.as_ref()).filter_map(moment).min();
    let complete = listed.evidence_complete_since_time.as_ref().and_then(moment);
    let has_gap = made
        .is_some_and(|made| is_open || complete.is_none_or(|complete| complete > made.max(since)));
    (listed.unreadable.is_empty() && !has_gap).then_some(false)
}

#[cfg(test)]
mod tests {
    use prost_types::Timestamp as ProtoTimestamp;

    use super::*;

    #[test]
    fn a_client_is_unused_only_if_no_use_can_have_been_missed() {
        let at = |seconds| Some(ProtoTimestamp { seconds, nanos: 0 });
        let listed = |made, used, complete| v1::ListSecretsResponse {
            secrets: vec![v1::Secret {
                create_time: at(made),
                r#use: Some(v1::SecretUse { last_use_time: used, ..Default::default() }),
                ..Default::default()
            }],
            evidence_complete_since_time: complete,
            ..Default::default()
        };
        let since = Timestamp::from_unix_micros(100_000_000);
        let rows = [
            (listed(1, at(100), None), true, Some(true)),
            (listed(1, at(99), at(100)), false, Some(false)),
            (listed(1, None, at(100)), true, None),
            (listed(1, None, at(101)), false, None),
            (listed(101, None, at(101)), false, Some(false)),
            (listed(1, None, None), false, None),
            (v1::ListSecretsResponse::default(), true, Some(false)),
        ];
        for (listed, is_open, expected) in rows {
            assert_eq!(was_used(&listed, since, is_open), expected, "{listed:?}");
        }
        let unreadable = vec![v1::UnreadableRow::default()];
        let hidden = v1::ListSecretsResponse { unreadable, ..listed(1, None, at(1)) };
        assert_eq!(was_used(&hidden, since, false), None);
    }
}
