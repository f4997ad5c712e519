//! Methods on the secrets of a client.

use super::{Caller, ClientRpc, Refusal, parse, render};
use crate::{
    domain::{ClientId, SecretId, StoredSecret, Timestamp},
    pb::v1,
    registry::RegistryError,
    store::{Readable, Retirement},
};

impl ClientRpc {
    pub(super) async fn add(
        &self,
        caller: Caller,
        message: v1::AddSecretRequest,
    ) -> Result<v1::AddSecretResponse, Refusal> {
        let client_id = parse::client_id(&message.client_id)?;
        let now = self.clock.now();
        let secret = parse::new_secret(message.secret, self.secret_lifetime, now)?;
        self.changeable(&caller, &client_id).await?;
        let registry = self.registry_for(&caller);
        let (stored, text) = registry.add_secret(&client_id, secret).await?;
        // The client may have become an administrator since it was read.
        if let Err(refusal) = self.changeable(&caller, &client_id).await {
            registry.retire_secret(&client_id, stored.id, Retirement::Retired).await?;
            return Err(refusal);
        }
        Ok(v1::AddSecretResponse {
            secret: Some(render::secret(&stored, now)),
            client_secret: text.expose().to_owned(),
        })
    }

    pub(super) async fn secrets(
        &self,
        message: v1::ListSecretsRequest,
    ) -> Result<v1::ListSecretsResponse, Refusal> {
        let client_id = parse::client_id(&message.client_id)?;
        // The secrets of a client whose own row cannot be read are shown as well.
        let (_, secrets) = self.registry.show_client(&client_id).await?;
        let now = self.clock.now();
        let unreadable = secrets.iter().filter_map(|row| row.as_ref().err());
        Ok(v1::ListSecretsResponse {
            unreadable: unreadable.map(render::unreadable).collect(),
            secrets: secrets.iter().flatten().map(|one| render::secret(one, now)).collect(),
        })
    }

    pub(super) async fn retire(
        &self,
        caller: Caller,
        message: v1::RetireSecretRequest,
    ) -> Result<v1::RetireSecretResponse, Refusal> {
        let client_id = parse::client_id(&message.client_id)?;
        let id = parse::secret_id(&message.secret_id)?;
        self.changeable(&caller, &client_id).await?;
        let (_, secrets) = self.registry.show_client(&client_id).await?;
        if !message.even_if_last && is_last_live(&secrets, id, self.clock.now()) {
            return Err(Refusal::LastLiveSecret);
        }
        let (secret, live) = self.end(&caller, &client_id, id, Retirement::Retired).await?;
        Ok(v1::RetireSecretResponse { secret: Some(secret), live_secrets_left: live })
    }

    pub(super) async fn burn(
        &self,
        caller: Caller,
        message: v1::BurnSecretRequest,
    ) -> Result<v1::BurnSecretResponse, Refusal> {
        let client_id = parse::client_id(&message.client_id)?;
        let id = parse::secret_id(&message.secret_id)?;
        let (secret, live) = self.end(&caller, &client_id, id, Retirement::Leaked).await?;
        Ok(v1::BurnSecretResponse { secret: Some(secret), live_secrets_left: live })
    }

    /// Takes a secret out of use. Returns it, and how many live ones its client has left.
    async fn end(
        &self,
        caller: &Caller,
        client_id: &ClientId,
        id: SecretId,
        retirement: Retirement,
    ) -> Result<(v1::Secret, i32), Refusal> {
        self.registry_for(caller).retire_secret(client_id, id, retirement).await?;
        let (_, secrets) = self.registry.show_client(client_id).await?;
        let now = self.clock.now();
        let live = secrets.iter().flatten().filter(|secret| secret.is_live(now)).count();
        let missing = || RegistryError::NoSuchSecret(client_id.clone(), id.0);
        let secret = secrets.iter().flatten().find(|secret| secret.id == id);
        Ok((render::secret(secret.ok_or_else(missing)?, now), render::count(live)))
    }
}

/// Whether this secret is live and no other one is known to be.
fn is_last_live(secrets: &[Readable<StoredSecret>], id: SecretId, now: Timestamp) -> bool {
    let live = secrets.iter().flatten().filter(|secret| secret.is_live(now));
    let live: Vec<_> = live.map(|secret| secret.id).collect();
    live == [id]
}
