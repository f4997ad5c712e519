//! Calls of a node that tell whose a secret or a token is, and that declare a secret leaked.

use uuid::Uuid;

use super::{
    node::{Calls, Failed, Node},
    reading::{self, understood},
    texts::{Owner, Text},
};
use crate::{
    domain::{ClientId, ClientKey, ClientState, SecretId, SecretState, StoredSecret, TokenId},
    pb::v1::{self, ErrorReason},
    store::Readable,
};

impl Node {
    async fn find_secret(
        &self,
        message: v1::FindSecretRequest,
    ) -> anyhow::Result<v1::FindSecretResponse> {
        let found = self.call(async |mut calls: Calls| calls.find_secret(message).await).await;
        found.map_err(|failed| failed.error)
    }

    async fn explain_found(
        &self,
        message: v1::ExplainTokenRequest,
    ) -> Result<v1::ExplainTokenResponse, Failed> {
        self.call(async |mut calls: Calls| calls.explain_token(message).await).await
    }

    pub(super) async fn made_here(&self, text: &Text) -> anyhow::Result<bool> {
        match text {
            Text::Secret(secret) => {
                let client_secret = secret.expose().to_owned();
                let message = v1::FindSecretRequest { client_secret, ..Default::default() };
                Ok(self.find_secret(message).await?.made_here)
            }
            Text::Token(token) => {
                let token = token.expose().to_owned();
                let message = v1::ExplainTokenRequest { token, ..Default::default() };
                match self.explain_found(message).await {
                    Ok(told) => Ok(!has(&told, v1::InactiveReason::NotOurs)),
                    // The tag is checked before the row is read.
                    Err(Failed { reason: Some(ErrorReason::UnreadableRow), .. }) => Ok(true),
                    Err(failed) => Err(failed.error),
                }
            }
        }
    }

    pub(super) async fn owner_of_secret(&self, id: SecretId) -> anyhow::Result<Owner> {
        let message = v1::FindSecretRequest { secret_id: id.0.to_string(), ..Default::default() };
        let found = self.find_secret(message).await?;
        if !found.exists {
            return Ok(Owner::unknown(Owner::DELETED));
        }
        let client_state = match found.client_state() {
            v1::ClientState::Active => Some(ClientState::Active),
            v1::ClientState::Disabled => Some(ClientState::Disabled),
            v1::ClientState::Unspecified => None,
        };
        let state = match &found.secret {
            Some(secret) => understood("state of a secret", state(secret.state()))?.as_str(),
            None => Owner::UNREADABLE,
        };
        Ok(Owner {
            client_id: Some(found.client_id).filter(|id| !id.is_empty()),
            client_state,
            scopes: found.scopes,
            audiences: found.audiences,
            state,
        })
    }

    pub(super) async fn owner_of_token(&self, id: TokenId) -> anyhow::Result<Owner> {
        let message = v1::ExplainTokenRequest { token_id: id.0.to_string(), ..Default::default() };
        let told = match self.explain_found(message).await {
            Ok(told) => told,
            Err(Failed { reason: Some(ErrorReason::UnreadableRow), .. }) => {
                return Ok(Owner::unknown(Owner::UNREADABLE));
            }
            Err(failed) => return Err(failed.error),
        };
        let is_disabled = has(&told, v1::InactiveReason::ClientDisabled);
        let client = told.token.map(|token| token.client_id).filter(|id| !id.is_empty());
        let Some(client_id) = client else { return Ok(Owner::of_token(None)) };
        let client_state = if is_disabled { ClientState::Disabled } else { ClientState::Active };
        Ok(Owner {
            client_id: Some(client_id),
            client_state: Some(client_state),
            ..Owner::unknown(if told.active { "active" } else { "inactive" })
        })
    }

    pub(super) async fn secrets_of(
        &self,
        client: &ClientId,
    ) -> anyhow::Result<Vec<Readable<StoredSecret>>> {
        let message = v1::ListSecretsRequest {
            client_id: client.to_string(),
            at_once: true,
            ..v1::ListSecretsRequest::default()
        };
        let listed = self.call(async |mut calls: Calls| calls.list_secrets(message).await).await;
        let listed = listed.map_err(|failed| failed.error)?;
        let mut secrets = Vec::new();
        for secret in &listed.secrets {
            // The client is known by its name here: its row may be unreadable.
            let secret = reading::secret(secret, ClientKey(Uuid::nil()));
            secrets.push(Ok(understood("secret", secret)?));
        }
        let unreadable = listed.unreadable.iter();
        secrets.extend(unreadable.map(|row| Err(reading::unreadable(row, "client_secret"))));
        Ok(secrets)
    }

    pub(super) async fn burn_found(
        &self,
        client: &ClientId,
        secret: SecretId,
        validate_only: bool,
    ) -> anyhow::Result<Option<u64>> {
        let message = v1::BurnSecretRequest {
            secret_id: secret.0.to_string(),
            client_id: client.to_string(),
            validate_only,
            ..Default::default()
        };
        let ended = self.call(async |mut calls: Calls| calls.burn_secret(message).await).await;
        let ended = ended.map_err(|failed| failed.error)?;
        Ok(ended.tokens_ended.and_then(|count| u64::try_from(count).ok()))
    }

    pub(super) async fn burn_deleted(&self, secret: SecretId) -> anyhow::Result<()> {
        let message =
            v1::BurnSecretRequest { secret_id: secret.0.to_string(), ..Default::default() };
        match self.call(async |mut calls: Calls| calls.burn_secret(message).await).await {
            // Nothing of it is kept.
            Ok(_) | Err(Failed { reason: Some(ErrorReason::SecretNotFound), .. }) => Ok(()),
            Err(failed) => Err(failed.error),
        }
    }
}

fn has(told: &v1::ExplainTokenResponse, reason: v1::InactiveReason) -> bool {
    told.reasons.iter().any(|held| held.reason() == reason)
}

const fn state(of: v1::SecretState) -> Option<SecretState> {
    match of {
        v1::SecretState::Live => Some(SecretState::Live),
        v1::SecretState::Retiring => Some(SecretState::Retiring),
        v1::SecretState::Retired => Some(SecretState::Retired),
        v1::SecretState::Expired => Some(SecretState::Expired),
        v1::SecretState::Forgotten => Some(SecretState::Forgotten),
        v1::SecretState::Leaked => Some(SecretState::Leaked),
        v1::SecretState::Unspecified => None,
    }
}
