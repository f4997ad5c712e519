//! Import of clients of another system in both ways.

use prost::Message;
use tokio::task::spawn_blocking;

use super::{
    clients::Clients,
    message::{self, moment},
    node::{Calls, Node},
    reading::understood,
};
use crate::{
    domain::{ClientRecord, ClientState, HashCost, HashMemory, OsRandom, SecretHash},
    pb::v1::{self, ErrorReason},
    registry::{
        ImportedClient, ImportedProof, ImportedSecret, MAX_IMPORTED_CLIENTS, RegistryError,
    },
    store::Creation,
};

/// Maximum message in bytes, without its last field. A node takes 64 KiB.
const MAX_MESSAGE: usize = 60 * 1024;

/// Why a client was not imported, if it was not.
type Skipped = Option<String>;

impl Clients<'_> {
    /// Imports clients, each with its secrets or not at all, and tells what became of each. Secrets
    /// in clear are hashed here, at this cost.
    pub(in crate::cli) async fn import(
        &self,
        clients: Vec<ImportedClient>,
        cost: HashCost,
    ) -> anyhow::Result<Vec<Skipped>> {
        let node = match self {
            Self::Database(registry) => {
                let created = registry.import_clients(clients).await?;
                return Ok(created.into_iter().map(is_taken).collect());
            }
            Self::Node(node) => node,
        };
        let mut messages = Vec::with_capacity(clients.len());
        for ImportedClient { record, secrets } in clients {
            let mut message = described(record);
            for secret in secrets {
                message.secrets.push(hashed(secret, cost).await?);
            }
            messages.push(message);
        }
        node.import(messages, false).await
    }

    /// Tells for which of these clients an import would be refused. A database refuses none that is
    /// valid; a node knows what an administrator may give.
    pub(in crate::cli) async fn preview_import(
        &self,
        clients: Vec<ClientRecord>,
    ) -> anyhow::Result<Vec<Skipped>> {
        match self {
            Self::Database(_) => Ok(vec![None; clients.len()]),
            Self::Node(node) => {
                node.import(clients.into_iter().map(described).collect(), true).await
            }
        }
    }
}

impl Node {
    async fn import(
        &self,
        clients: Vec<v1::ImportedClient>,
        validate_only: bool,
    ) -> anyhow::Result<Vec<Skipped>> {
        let mut outcomes = Vec::with_capacity(clients.len());
        for clients in parts(clients) {
            let asked = clients.len();
            let message = v1::ImportClientsRequest { clients, validate_only };
            let answer =
                self.call(async |mut calls: Calls| calls.import_clients(message).await).await;
            let results = answer.map_err(|failed| failed.error)?.results;
            let results = Some(results).filter(|results| results.len() == asked);
            outcomes.extend(understood("results", results)?.into_iter().map(skipped));
        }
        Ok(outcomes)
    }
}

fn is_taken(creation: Creation) -> Skipped {
    let is_taken = creation == Creation::ClientIdTaken;
    is_taken.then(|| "the client id was taken meanwhile".to_owned())
}

fn skipped(result: v1::ImportResult) -> Skipped {
    let failure = result.failure?;
    if failure.reason() == ErrorReason::ClientIdTaken {
        return is_taken(Creation::ClientIdTaken);
    }
    Some(failure.message)
}

/// The clients in groups that a node takes in one call.
fn parts(clients: Vec<v1::ImportedClient>) -> Vec<Vec<v1::ImportedClient>> {
    let mut parts: Vec<Vec<_>> = Vec::new();
    let mut size = 0;
    for client in clients {
        // Its tag and its length come before it.
        let own = client.encoded_len() + 4;
        size += own;
        match parts.last_mut() {
            Some(part) if part.len() < MAX_IMPORTED_CLIENTS && size <= MAX_MESSAGE => {
                part.push(client);
            }
            _ => {
                size = own;
                parts.push(vec![client]);
            }
        }
    }
    parts
}

/// A client without its secrets.
fn described(record: ClientRecord) -> v1::ImportedClient {
    let (state, not_before) = (record.client.state, record.client.not_before);
    v1::ImportedClient {
        client: Some(message::new_client(record.into())),
        secrets: Vec::new(),
        disabled: state == ClientState::Disabled,
        not_before_time: not_before.map(moment),
    }
}

/// A secret by its hash: a text does not leave this machine.
async fn hashed(secret: ImportedSecret, cost: HashCost) -> anyhow::Result<v1::ImportedSecret> {
    let hash = match secret.proof {
        ImportedProof::Hash(hash) => hash,
        ImportedProof::Text(text) => {
            let hashing = move || {
                let memory = &mut HashMemory::for_cost(cost);
                SecretHash::compute_foreign(&text, cost, &OsRandom, memory)
            };
            spawn_blocking(hashing).await?.map_err(RegistryError::Hash)?
        }
    };
    Ok(v1::ImportedSecret {
        label: secret.label,
        secret_hash: hash.as_str().to_owned(),
        expire_time: secret.expires_at.map(moment),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_has_no_more_clients_and_bytes_than_a_node_takes() {
        let of_name = |length: usize| {
            let client = v1::Client { name: "a".repeat(length), ..v1::Client::default() };
            v1::ImportedClient { client: Some(client), ..v1::ImportedClient::default() }
        };
        let sizes = |lengths: &[usize]| {
            let clients = lengths.iter().map(|length| of_name(*length)).collect();
            parts(clients).iter().map(Vec::len).collect::<Vec<_>>()
        };
        assert!(sizes(&[]).is_empty());
        assert_eq!(sizes(&[9; 101]), [50, 50, 1]);
        assert_eq!(sizes(&[25_000; 5]), [2, 2, 1]);
        // One that is too large by itself is refused by the node, and no other.
        assert_eq!(sizes(&[9, 70_000, 9, 9]), [1, 1, 2]);
        for part in parts(vec![of_name(1_000); 500]) {
            let message = v1::ImportClientsRequest { clients: part, validate_only: true };
            assert!(message.encoded_len() <= 64 * 1024);
        }
    }
}
