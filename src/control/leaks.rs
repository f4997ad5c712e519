//! Methods on secrets that leaked, of which perhaps only the text is known.

use std::time::Duration;

use tokio::time::timeout;

use super::{Caller, ClientRpc, Refusal, parse, render};
use crate::{
    domain::{ClientId, ClientSecret, SecretId, SecretState, StoredSecret},
    pb::v1,
    registry::RegistryError,
    store::{OwnedSecret, Retirement},
};

/// How long the tokens of a secret that leaked are counted, which reads all live tokens.
const COUNT_PATIENCE: Duration = Duration::from_secs(5);

impl ClientRpc {
    /// Tells whose a secret is. Readers may ask: an id tells nothing that `ListSecrets` does not,
    /// and a text is not compared with its hash.
    pub(super) async fn find_secret_owner(
        &self,
        message: v1::FindSecretRequest,
    ) -> Result<v1::FindSecretResponse, Refusal> {
        let id = match (&*message.client_secret, &*message.secret_id) {
            ("", id) => parse::secret_id(id)?,
            (text, "") => match self.made_here(text).await? {
                Some(id) => id,
                None => return Ok(v1::FindSecretResponse::default()),
            },
            _ => {
                let remedy = "send either client_secret or secret_id";
                return Err(Refusal::invalid("secret_id", remedy));
            }
        };
        let ours = v1::FindSecretResponse { made_here: true, ..Default::default() };
        let Some(OwnedSecret { client, secret }) = self.registry.owned_secret(id).await? else {
            return Ok(ours);
        };
        let now = self.clock.now();
        let secret = secret.ok().map(|secret| render::secret(&secret, now));
        let found = v1::FindSecretResponse { exists: true, secret, ..ours };
        Ok(match client {
            Ok(client) => v1::FindSecretResponse {
                client_id: client.client_id.to_string(),
                client_state: render::client_state(client.state).into(),
                scopes: render::texts(&client.scopes),
                audiences: render::texts(&client.audiences),
                ..found
            },
            Err(row) => {
                v1::FindSecretResponse { client_id: row.client_id.unwrap_or_default(), ..found }
            }
        })
    }

    pub(super) async fn burn(
        &self,
        caller: Caller,
        message: v1::BurnSecretRequest,
    ) -> Result<v1::BurnSecretResponse, Refusal> {
        let (client_id, id) = match &*message.client_secret {
            "" => {
                let id = parse::secret_id(&message.secret_id)?;
                let is_alone = message.client_id.is_empty();
                if is_alone && self.registry.owned_secret(id).await?.is_none() {
                    return self.burn_deleted(&caller, id, message.validate_only).await;
                }
                (parse::client_id(&message.client_id)?, id)
            }
            _ if !message.secret_id.is_empty() => return Err(one_name("secret_id")),
            _ if !message.client_id.is_empty() => return Err(one_name("client_id")),
            text => match self.owner_of(text).await? {
                (Some(client_id), id) => (client_id, id),
                (None, id) => {
                    return self.burn_deleted(&caller, id, message.validate_only).await;
                }
            },
        };
        let (before, live) = self.beside(&client_id, id).await?;
        let now = self.clock.now();
        let client = client_id.to_string();
        if message.validate_only {
            return Ok(v1::BurnSecretResponse {
                secret: before.map(|secret| render::secret(&secret, now)),
                client_id: client,
                tokens_ended: None,
                live_secrets_left: live,
            });
        }
        let had_leaked = before.is_some_and(|secret| secret.state(now) == SecretState::Leaked);
        self.registry_for(&caller).retire_secret(&client_id, id, Retirement::Leaked).await?;
        let (after, live) = self.beside(&client_id, id).await?;
        // Merely informative: it must not fail the call.
        let tokens_ended = if had_leaked { Some(0) } else { self.tokens_of(id).await };
        let now = self.clock.now();
        Ok(v1::BurnSecretResponse {
            secret: after.map(|secret| render::secret(&secret, now)),
            client_id: client,
            tokens_ended,
            live_secrets_left: live,
        })
    }

    /// Declares a secret leaked whose client was deleted and can come back.
    async fn burn_deleted(
        &self,
        caller: &Caller,
        id: SecretId,
        is_dry_run: bool,
    ) -> Result<v1::BurnSecretResponse, Refusal> {
        let mut told = v1::BurnSecretResponse::default();
        if !is_dry_run {
            let client_id = self.registry_for(caller).burn_deleted(id).await?;
            told.client_id = client_id.ok_or(Refusal::SecretDeleted)?.to_string();
            let state = v1::SecretState::Leaked.into();
            told.secret = Some(v1::Secret { id: id.0.to_string(), state, ..v1::Secret::default() });
        }
        Ok(told)
    }

    /// A secret, if its row can be read, and how many others of its client are live.
    async fn beside(
        &self,
        client_id: &ClientId,
        id: SecretId,
    ) -> Result<(Option<StoredSecret>, i32), Refusal> {
        let (_, secrets) = self.registry.show_client(client_id).await?;
        let now = self.clock.now();
        let (mut named, mut is_there, mut live) = (None, false, 0);
        for row in secrets {
            match row {
                Ok(secret) if secret.id == id => (named, is_there) = (Some(secret), true),
                Ok(secret) => live += usize::from(secret.is_live(now)),
                Err(row) => is_there |= row.id == Some(id.0),
            }
        }
        if !is_there {
            return Err(RegistryError::NoSuchSecret(client_id.clone(), id.0).into());
        }
        Ok((named, render::count(live)))
    }

    /// The number of tokens that were issued with a secret and are neither expired nor revoked;
    /// `None` if they cannot be counted in time.
    async fn tokens_of(&self, secret: SecretId) -> Option<i64> {
        let counted = timeout(COUNT_PATIENCE, self.registry.count_tokens(secret)).await;
        i64::try_from(counted.ok()?.ok()?).ok()
    }

    /// The id in the text of a secret; `None` if this installation did not make it.
    async fn made_here(&self, text: &str) -> Result<Option<SecretId>, Refusal> {
        let secret = ClientSecret::parse(text).map_err(Refusal::of_field("client_secret"))?;
        let is_ours = secret.has_tag_of(&self.registry.tag_keys().await?);
        Ok(is_ours.then(|| secret.id()))
    }

    /// The client of the secret with this text, `None` if it was deleted, and the id of the secret.
    async fn owner_of(&self, text: &str) -> Result<(Option<ClientId>, SecretId), Refusal> {
        let id = self.made_here(text).await?.ok_or_else(|| {
            let remedy = "was made elsewhere, or with a tag key that is retired: it means nothing \
                here";
            Refusal::invalid("client_secret", remedy)
        })?;
        let owned = self.registry.owned_secret(id).await?;
        let client = owned.map(|owned| owned.client).transpose();
        let client = client.map_err(RegistryError::Unreadable)?;
        Ok((client.map(|client| client.client_id), id))
    }
}

fn one_name(field: &'static str) -> Refusal {
    Refusal::invalid(field, "send either client_secret alone, or secret_id and client_id")
}
