//! What a client would get for a request now, by the same decisions as a real one.

use std::time::Duration;

use super::{Registry, RegistryError};
use crate::domain::{Client, ClientId, ClientState, Error, GrantType, Granted, TokenRequest};

/// What a client would get for a request now.
#[derive(Debug)]
pub struct Simulation {
    /// The client as it is now.
    pub client: Client,
    /// Number of its secrets that work now.
    pub live_secrets: usize,
    /// What it would get. Its quota is not part of the decision: each node counts by itself.
    pub outcome: Simulated,
}

/// What a request would get.
#[derive(Debug)]
pub enum Simulated {
    /// A token with these scopes and audiences, for this time.
    Issued(Granted, Duration),
    /// The client could not authenticate, because it is disabled.
    Disabled,
    /// The client could not authenticate, because none of its secrets works.
    NoLiveSecret,
    /// The request would be refused.
    Refused(Error),
}

impl Simulated {
    /// The error that a real request would get; `None` if it would get a token.
    #[must_use]
    pub fn error(&self) -> Option<Error> {
        match self {
            Self::Issued(..) => None,
            Self::Disabled | Self::NoLiveSecret => Some(Error::InvalidClient),
            Self::Refused(error) => Some(error.clone()),
        }
    }

    /// Why there would be no token. It tells operators more than callers are told.
    #[must_use]
    pub fn why(&self) -> Option<String> {
        match self {
            Self::Issued(..) => None,
            Self::Disabled => Some("the client is disabled, so it cannot authenticate".to_owned()),
            Self::NoLiveSecret => {
                Some("no secret of the client works, so it cannot authenticate".to_owned())
            }
            Self::Refused(error) => Some(error.to_string()),
        }
    }
}

impl Registry {
    /// Decides what a request of a client for these scopes and resources would get now. The checks
    /// are in the order of a real request. Nothing is issued and no quota is used.
    ///
    /// # Errors
    /// `NoSuchClient`, and the errors of the store.
    pub async fn simulate_issue(
        &self,
        client_id: &ClientId,
        scopes: &[String],
        resources: &[String],
    ) -> Result<Simulation, RegistryError> {
        let client = self.find(client_id).await?;
        let secrets = self.store.list_secrets(client_id).await?;
        let now = self.clock.now();
        let live_secrets = secrets.iter().flatten().filter(|secret| secret.is_live(now)).count();
        let outcome = if client.state == ClientState::Disabled {
            Simulated::Disabled
        } else if live_secrets == 0 {
            Simulated::NoLiveSecret
        } else {
            let request = TokenRequest::parse(GrantType::ClientCredentials, scopes, resources);
            match request.and_then(|request| client.grant(request)) {
                Ok(granted) => Simulated::Issued(granted, client.token_lifetime.duration()),
                Err(error) => Simulated::Refused(error),
            }
        };
        Ok(Simulation { client, live_secrets, outcome })
    }
}
