//! Methods that make clients and secrets. A request with an id of its own may come again.

use super::{Caller, ClientRpc, Refusal, clients::list_of, giving::Giving, parse, render};
use crate::{
    domain::{ClientId, ClientRecord, ClientSecret, Error, RequestKey, StoredSecret, Timestamp},
    pb::v1,
    registry::{EVIDENCE_PATIENCE, Once, Registry},
    request::Method,
    store::{EarlierRequest, Retirement},
};

/// Maximum number of clients in a batch. Each client takes its turn, so a larger batch would end at
/// its deadline.
const MAX_BATCH: usize = 200;

impl ClientRpc {
    pub(super) async fn create_one(
        &self,
        caller: Caller,
        message: v1::CreateClientRequest,
    ) -> Result<v1::CreateClientResponse, Refusal> {
        let giving = self.giving(&caller).await?;
        Box::pin(self.create(&caller, &giving, message)).await
    }

    async fn create(
        &self,
        caller: &Caller,
        giving: &Giving,
        mut message: v1::CreateClientRequest,
    ) -> Result<v1::CreateClientResponse, Refusal> {
        let now = self.clock.now();
        let request_id = std::mem::take(&mut message.request_id);
        check_without_secret(&message, &request_id)?;
        let content = list_of(Method::CreateClient, &message);
        let request = parse::request_key(&request_id, &content)?;
        let client = parse::new_client(message.client)?;
        let secret = parse::new_secret(message.secret, self.secret_lifetime, now)?;
        giving.check_new(&client)?;
        let registry = self.registry_for(caller);
        if message.validate_only {
            // A client id that is made at random would be another one the next time.
            let is_named = client.client_id.is_some();
            return Ok(previewed(&registry.preview_client(client).await?, is_named));
        }
        if message.without_secret {
            let client = registry.create_client_without_secret(client).await?;
            let client = Some(self.shown(client.client_id.as_str()).await?);
            return Ok(v1::CreateClientResponse { client, ..v1::CreateClientResponse::default() });
        }
        let Some(request) = request else {
            let (record, stored, text) = registry.make_client(client, secret).await?;
            return Ok(created(&record, &stored, &text, now));
        };
        match registry.create_client_once(client, secret, &request).await? {
            Once::Made(made) => {
                let (record, stored, text) = *made;
                Ok(created(&record, &stored, &text, now))
            }
            Once::Earlier(earlier) => {
                let again = self.tell_again(caller, &registry, &request, &earlier).await?;
                let record = self.registry.record(&again.client_id).await?;
                Ok(v1::CreateClientResponse {
                    client: Some(self.with_secrets(&record).await?),
                    secret: Some(render::secret(&again.secret, self.clock.now())),
                    client_secret: again.text.expose().to_owned(),
                    reminted: true,
                })
            }
        }
    }

    pub(super) async fn create_batch(
        &self,
        caller: Caller,
        message: v1::BatchCreateClientsRequest,
    ) -> Result<v1::BatchCreateClientsResponse, Refusal> {
        if !(1..=MAX_BATCH).contains(&message.requests.len()) {
            return Err(Refusal::invalid("requests", "a batch creates 1 to 200 clients"));
        }
        let giving = self.giving(&caller).await?;
        let mut results = Vec::with_capacity(message.requests.len());
        for request in message.requests {
            let outcome = match Box::pin(self.create(&caller, &giving, request)).await {
                Ok(created) => v1::batch_result::Outcome::Created(Box::new(created)),
                Err(refusal) => v1::batch_result::Outcome::Failure(refusal.into_failure()),
            };
            results.push(v1::BatchResult { outcome: Some(outcome) });
        }
        Ok(v1::BatchCreateClientsResponse { results })
    }

    pub(super) async fn add(
        &self,
        caller: Caller,
        mut message: v1::AddSecretRequest,
    ) -> Result<v1::AddSecretResponse, Refusal> {
        let request_id = std::mem::take(&mut message.request_id);
        let content = list_of(Method::AddSecret, &message);
        let request = parse::request_key(&request_id, &content)?;
        let client_id = parse::client_id(&message.client_id)?;
        let now = self.clock.now();
        let secret = parse::new_secret(message.secret, self.secret_lifetime, now)?;
        self.changeable(&caller, &client_id).await?;
        let registry = self.registry_for(&caller);
        let (stored, text) = match &request {
            None => registry.add_secret(&client_id, secret).await?,
            Some(request) => match registry.add_secret_once(&client_id, secret, request).await? {
                Once::Made(made) => {
                    let ((), stored, text) = *made;
                    (stored, text)
                }
                Once::Earlier(earlier) => {
                    let again = self.tell_again(&caller, &registry, request, &earlier).await?;
                    return Ok(v1::AddSecretResponse {
                        secret: Some(render::secret(&again.secret, self.clock.now())),
                        client_secret: again.text.expose().to_owned(),
                        reminted: true,
                    });
                }
            },
        };
        self.still_changeable(&caller, &registry, &client_id, &stored).await?;
        Ok(v1::AddSecretResponse {
            secret: Some(render::secret(&stored, now)),
            client_secret: text.expose().to_owned(),
            reminted: false,
        })
    }

    /// Replaces the text of the secret that an earlier request made, because no text is told twice.
    async fn tell_again(
        &self,
        caller: &Caller,
        registry: &Registry,
        request: &RequestKey,
        earlier: &EarlierRequest,
    ) -> Result<Again, Refusal> {
        let client_id = registry.client_of_request(request, earlier)?;
        self.changeable(caller, &client_id).await?;
        // Without a permit it is not known soon whether the secret was used.
        let Ok(_permit) = self.waits.try_acquire() else {
            return Err(Error::unavailable("too many calls wait for uses of secrets").into());
        };
        let reminted =
            registry.remint(request, &client_id, earlier.secret, EVIDENCE_PATIENCE).await;
        let (secret, text) = reminted?;
        self.still_changeable(caller, registry, &client_id, &secret).await?;
        Ok(Again { client_id, secret, text })
    }

    /// Checks again that the caller may have this secret: its client may have become an
    /// administrator since it was read.
    async fn still_changeable(
        &self,
        caller: &Caller,
        registry: &Registry,
        client_id: &ClientId,
        secret: &StoredSecret,
    ) -> Result<(), Refusal> {
        if let Err(refusal) = self.changeable(caller, client_id).await {
            registry.retire_secret(client_id, secret.id, Retirement::Retired).await?;
            return Err(refusal);
        }
        Ok(())
    }
}

/// Refuses what concerns a secret if the client is to have none.
fn check_without_secret(
    message: &v1::CreateClientRequest,
    request_id: &str,
) -> Result<(), Refusal> {
    let remedy = "leave it out: with without_secret there is no secret";
    match (message.without_secret, &message.secret, request_id) {
        (true, Some(_), _) => Err(Refusal::invalid("secret", remedy)),
        (true, None, id) if !id.is_empty() => Err(Refusal::invalid("request_id", remedy)),
        _ => Ok(()),
    }
}

/// A secret with a new text.
struct Again {
    client_id: ClientId,
    secret: StoredSecret,
    text: ClientSecret,
}

/// A client that was created just now, with its secret.
fn created(
    record: &ClientRecord,
    secret: &StoredSecret,
    text: &ClientSecret,
    now: Timestamp,
) -> v1::CreateClientResponse {
    v1::CreateClientResponse {
        client: Some(v1::Client {
            live_secrets: 1,
            next_secret_expire_time: secret.expires_at.map(render::moment),
            endless_secrets: i32::from(secret.expires_at.is_none()),
            ..render::client(record)
        }),
        secret: Some(render::secret(secret, now)),
        client_secret: text.expose().to_owned(),
        reminted: false,
    }
}

/// A client that would be created, without what only its creation decides.
fn previewed(record: &ClientRecord, is_named: bool) -> v1::CreateClientResponse {
    let client = render::client(record);
    v1::CreateClientResponse {
        client: Some(v1::Client {
            id: String::new(),
            client_id: if is_named { client.client_id } else { String::new() },
            create_time: None,
            etag: String::new(),
            ..client
        }),
        ..v1::CreateClientResponse::default()
    }
}
