//! Methods on the secrets of a client.

use std::time::Duration;

use super::{Caller, ClientRpc, Refusal, parse, render};
use crate::{
    domain::{ClientId, SecretId},
    pb::v1,
    registry::{EVIDENCE_PATIENCE, RegistryError},
    store::Retirement,
};

/// How long a secret must not have been used before it is safe to retire, unless the caller says
/// otherwise.
const WINDOW: Duration = Duration::from_hours(24);

impl ClientRpc {
    pub(super) async fn secrets(
        &self,
        message: v1::ListSecretsRequest,
    ) -> Result<v1::ListSecretsResponse, Refusal> {
        let client_id = parse::client_id(&message.client_id)?;
        let window = parse::whole_duration("window", message.window)?.unwrap_or(WINDOW);
        // Without a permit the answer is given at once, with the gap that there is.
        let permit = if message.at_once { None } else { self.waits.try_acquire().ok() };
        let patience = if permit.is_some() { EVIDENCE_PATIENCE } else { Duration::ZERO };
        let awaited = if message.await_uses {
            Some(self.registry.awaited_evidence(patience).await?)
        } else {
            None
        };
        let patience = if awaited.is_some() { Duration::ZERO } else { patience };
        let reported = self.registry.report_secrets(&client_id, window, patience).await;
        drop(permit);
        let report = match reported {
            Ok(report) => report,
            // The secrets of a client whose own row cannot be read are shown all the same.
            Err(RegistryError::Unreadable(_)) => return self.secrets_alone(&client_id).await,
            Err(error) => return Err(error.into()),
        };
        let now = self.clock.now();
        let evidence = awaited.as_ref().unwrap_or(&report.evidence);
        let rows = || report.secrets.iter();
        let unreadable = rows().filter_map(|row| row.secret.as_ref().err());
        let unreadable_uses = rows().filter_map(|row| row.uses.as_ref().err());
        Ok(v1::ListSecretsResponse {
            unreadable: unreadable.chain(unreadable_uses).map(render::unreadable).collect(),
            secrets: rows().filter_map(|row| render::reported(row, now)).collect(),
            evidence_complete_since_time: report.evidence.complete_since().map(render::moment),
            uses_outstanding: evidence.is_awaited(Duration::ZERO),
            evidence_age: report.evidence.age().map(render::duration),
            window: Some(render::duration(report.window)),
        })
    }

    async fn secrets_alone(
        &self,
        client_id: &ClientId,
    ) -> Result<v1::ListSecretsResponse, Refusal> {
        let (_, secrets) = self.registry.show_client(client_id).await?;
        let now = self.clock.now();
        let unreadable = secrets.iter().filter_map(|row| row.as_ref().err());
        Ok(v1::ListSecretsResponse {
            unreadable: unreadable.map(render::unreadable).collect(),
            secrets: secrets.iter().flatten().map(|one| render::secret(one, now)).collect(),
            uses_outstanding: true,
            ..v1::ListSecretsResponse::default()
        })
    }

    pub(super) async fn change_secret(
        &self,
        caller: Caller,
        message: v1::UpdateSecretRequest,
    ) -> Result<v1::UpdateSecretResponse, Refusal> {
        let client_id = parse::client_id(&message.client_id)?;
        let secret = message.secret.unwrap_or_default();
        let id = parse::secret_id_in("secret.id", &secret.id)?;
        let now = self.clock.now();
        let change = parse::secret_change(&secret, message.update_mask, now)?;
        self.changeable(&caller, &client_id).await?;
        let updated = self.registry_for(&caller).update_secret(&client_id, id, &change).await?;
        let secret = Some(render::secret(&updated, self.clock.now()));
        Ok(v1::UpdateSecretResponse { secret })
    }

    pub(super) async fn retire(
        &self,
        caller: Caller,
        message: v1::RetireSecretRequest,
    ) -> Result<v1::RetireSecretResponse, Refusal> {
        let client_id = parse::client_id(&message.client_id)?;
        let id = parse::secret_id(&message.secret_id)?;
        self.changeable(&caller, &client_id).await?;
        if !message.even_if_in_use {
            let permit = self.waits.try_acquire().ok();
            let patience = if permit.is_some() { EVIDENCE_PATIENCE } else { Duration::ZERO };
            self.registry.check_unused(&client_id, id, patience).await?;
        }
        let after = parse::whole_duration("after", message.after)?;
        let at = after.map(|after| Retirement::At(self.clock.now().plus(after)));
        let retirement = at.unwrap_or(Retirement::Retired);
        let registry = self.registry_for(&caller);
        if message.even_if_last {
            registry.retire_secret(&client_id, id, retirement).await?;
        } else {
            registry.retire_unless_last(&client_id, id, retirement).await?;
        }
        let (secret, live) = self.ended(&client_id, id).await?;
        Ok(v1::RetireSecretResponse { secret: Some(secret), live_secrets_left: live })
    }

    pub(super) async fn restore(
        &self,
        caller: Caller,
        message: v1::RestoreSecretRequest,
    ) -> Result<v1::RestoreSecretResponse, Refusal> {
        let client_id = parse::client_id(&message.client_id)?;
        let id = parse::secret_id(&message.secret_id)?;
        self.changeable(&caller, &client_id).await?;
        let registry = self.registry_for(&caller);
        let restored = registry.restore_secret(&client_id, id).await?;
        // The client may have got what the caller cannot give since it was read.
        if let Err(refusal) = self.changeable(&caller, &client_id).await {
            registry.retire_secret(&client_id, id, Retirement::Retired).await?;
            return Err(refusal);
        }
        let secret = render::secret(&restored, self.clock.now());
        Ok(v1::RestoreSecretResponse { secret: Some(secret) })
    }

    /// A secret that was taken out of use, and how many live ones its client has left.
    async fn ended(
        &self,
        client_id: &ClientId,
        id: SecretId,
    ) -> Result<(v1::Secret, i32), Refusal> {
        let (_, secrets) = self.registry.show_client(client_id).await?;
        let now = self.clock.now();
        let live = secrets.iter().flatten().filter(|secret| secret.is_live(now)).count();
        let missing = || RegistryError::NoSuchSecret(client_id.clone(), id.0);
        let secret = secrets.iter().flatten().find(|secret| secret.id == id);
        Ok((render::secret(secret.ok_or_else(missing)?, now), render::count(live)))
    }
}
