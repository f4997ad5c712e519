//! The method that takes over clients of another system, with the hashes of their secrets.

use std::collections::BTreeSet;

use super::{Caller, ClientRpc, Refusal, giving::Giving, parse};
use crate::{
    domain::{ClientState, Permissions},
    pb::v1,
    registry::{ImportedClient, MAX_IMPORTED_CLIENTS, Registry, RegistryError},
    store::Creation,
};

impl ClientRpc {
    pub(super) async fn import(
        &self,
        caller: Caller,
        message: v1::ImportClientsRequest,
    ) -> Result<v1::ImportClientsResponse, Refusal> {
        if !(1..=MAX_IMPORTED_CLIENTS).contains(&message.clients.len()) {
            return Err(Refusal::invalid("clients", "an import takes 1 to 50 clients"));
        }
        let giving = self.giving(&caller).await?;
        let registry = self.registry_for(&caller);
        let (mut clients, mut checked) = (Vec::new(), Vec::new());
        let mut seen = BTreeSet::new();
        for client in message.clients {
            let client = importable(&registry, &giving, client).and_then(|client| {
                let client_id = client.record.client.client_id.clone();
                if !seen.insert(client_id.clone()) {
                    return Err(RegistryError::ClientIdTaken(client_id).into());
                }
                clients.push(client);
                Ok(client_id)
            });
            checked.push(client);
        }
        let creations = if message.validate_only {
            registry.preview_import(&clients).await?
        } else {
            Box::pin(registry.import_clients(clients)).await?
        };
        let mut creations = creations.into_iter();
        let results = checked.into_iter().map(|checked| {
            let refusal = match checked {
                Ok(client_id) => (creations.next() == Some(Creation::ClientIdTaken))
                    .then(|| RegistryError::ClientIdTaken(client_id).into()),
                Err(refusal) => Some(refusal),
            };
            v1::ImportResult { failure: refusal.map(Refusal::into_failure) }
        });
        Ok(v1::ImportClientsResponse { results: results.collect() })
    }
}

/// A client that this caller may import.
fn importable(
    registry: &Registry,
    giving: &Giving,
    message: v1::ImportedClient,
) -> Result<ImportedClient, Refusal> {
    let new = parse::new_client(message.client)?;
    if new.client_id.is_none() {
        let remedy = "send the client id that the client has in the other system";
        return Err(Refusal::invalid("client.client_id", remedy));
    }
    // What it is comes from elsewhere, where others decide that.
    if !Permissions::of(&new.scopes).is_empty() {
        let remedy = "no administrator is imported: leave out the scopes that begin with jeton:, \
                      or make it with CreateClient";
        return Err(Refusal::invalid("client.scopes", remedy));
    }
    giving.check_new(&new)?;
    let secrets = parse::imported_secrets(&message.secrets)?;
    let not_before = message.not_before_time.map(|at| parse::moment("not_before_time", at));
    let mut record = registry.record_of(new)?;
    record.client.not_before = not_before.transpose()?;
    if message.disabled {
        record.client.state = ClientState::Disabled;
    }
    Ok(ImportedClient { record, secrets })
}
