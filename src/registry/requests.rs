//! Requests that may come again: each makes one secret, however often it comes. Its text is told
//! once, so if the answer was lost, the secret gets another one.

use std::time::Duration;

use tokio::time::sleep;

use super::{NewClient, NewSecret, Registry, RegistryError, rotation::LOOK};
use crate::{
    domain::{
        ClientId, ClientRecord, ClientSecret, RequestKey, SecretId, SecretState, StoredSecret,
    },
    store::EarlierRequest,
};

/// What became of a request that may come again.
#[derive(Debug)]
pub enum Once<T> {
    /// It came for the first time, and made this and a secret with this text.
    Made(Box<(T, StoredSecret, ClientSecret)>),
    /// It came before.
    Earlier(EarlierRequest),
}

impl Registry {
    /// Like [`create_client`](Self::create_client), for a request that may come again.
    pub async fn create_client_once(
        &self,
        new: NewClient,
        secret: NewSecret,
        request: &RequestKey,
    ) -> Result<Once<ClientRecord>, RegistryError> {
        if let Some(earlier) = self.earlier(request).await? {
            return Ok(Once::Earlier(earlier));
        }
        let record = self.record_of(new)?;
        let (stored, text) = self.make_secret(record.client.key, secret).await?;
        if self.store.create_client_once(&record, &stored, request, &self.actor).await? {
            return Ok(Once::Made(Box::new((record, stored, text))));
        }
        // It may have come twice at the same moment.
        let earlier = self.earlier(request).await?.map(Once::Earlier);
        earlier.ok_or(RegistryError::ClientIdTaken(record.client.client_id))
    }

    /// Like [`add_secret`](Self::add_secret), for a request that may come again.
    pub async fn add_secret_once(
        &self,
        client_id: &ClientId,
        secret: NewSecret,
        request: &RequestKey,
    ) -> Result<Once<()>, RegistryError> {
        if let Some(earlier) = self.earlier(request).await? {
            return Ok(Once::Earlier(earlier));
        }
        let client = self.find(client_id).await?;
        let (stored, text) = self.make_secret(client.key, secret).await?;
        if self.store.add_secret_once(&stored, request, &self.actor).await? {
            return Ok(Once::Made(Box::new(((), stored, text))));
        }
        match self.earlier(request).await? {
            Some(earlier) => Ok(Once::Earlier(earlier)),
            None => Err(self.why_not_added(&client).await?),
        }
    }

    /// What this request made when it came before. The content must be the same.
    async fn earlier(&self, request: &RequestKey) -> Result<Option<EarlierRequest>, RegistryError> {
        let found = self.store.find_request(request.id(), &self.actor).await?;
        if found.as_ref().is_some_and(|earlier| earlier.digest != request.digest()) {
            return Err(RegistryError::RequestIdReused(request.id()));
        }
        Ok(found)
    }

    /// The client that an earlier request made, or gave a secret.
    pub fn client_of_request(
        &self,
        request: &RequestKey,
        earlier: &EarlierRequest,
    ) -> Result<ClientId, RegistryError> {
        earlier.client_id.clone().ok_or(RegistryError::AlreadyDelivered(request.id()))
    }

    /// Gives the secret that a request made before another text, if it is live and was never used.
    /// Waits up to `patience` for nodes to write what they counted until now; while it is not known
    /// whether the secret was used, it counts as used.
    pub async fn remint(
        &self,
        request: &RequestKey,
        client_id: &ClientId,
        id: SecretId,
        patience: Duration,
    ) -> Result<(StoredSecret, ClientSecret), RegistryError> {
        let found = self.secret(client_id, id).await?;
        let is_live = found.state(self.clock.now()) == SecretState::Live;
        if !is_live || !self.is_unused(client_id, &found, patience).await? {
            return Err(RegistryError::AlreadyDelivered(request.id()));
        }
        let keys = self.store.installation().await?.tag_keys;
        let text = ClientSecret::generate_for(id, self.random.as_ref(), keys.current())?;
        let (text, hash) = self.hash(text).await?;
        let now = self.clock.now();
        if !self.store.remint_secret(request.id(), &hash, now, &self.actor).await? {
            return Err(RegistryError::AlreadyDelivered(request.id()));
        }
        Ok((self.secret(client_id, id).await?, text))
    }

    /// Whether it is known that a secret has never been used.
    async fn is_unused(
        &self,
        client_id: &ClientId,
        secret: &StoredSecret,
        patience: Duration,
    ) -> Result<bool, RegistryError> {
        let deadline = self.clock.uptime() + patience;
        let asked_at = self.store.evidence(self.clock.now()).await?.now;
        loop {
            let evidence = self.evidence(asked_at).await?;
            let uses = self.store.secret_uses(client_id).await?;
            let uses = uses.into_iter().find(|(id, _)| *id == secret.id).map(|(_, uses)| uses);
            let uses = uses.transpose().map_err(RegistryError::Unreadable)?.unwrap_or_default();
            if uses.used.is_some() || uses.uses > 0 {
                return Ok(false);
            }
            if evidence.gap_after(secret.created_at).is_none() {
                return Ok(true);
            }
            let age = asked_at.since(secret.created_at);
            if !evidence.is_awaited(age) || self.clock.uptime() > deadline {
                return Ok(false);
            }
            sleep(LOOK).await;
        }
    }
}
