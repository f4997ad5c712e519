//! Methods on the tokens of all clients.

use prost_types::Duration;

use super::{Caller, ClientRpc, Refusal, clients::list_of, parse, render};
use crate::{
    domain::{ClientId, InactiveReason, TokenId, page_token, position_in},
    pb::v1::{self, simulate_issue_response::Outcome},
    registry::{AskedToken, Explanation, Inactivity, Simulated, Simulation},
    request::Method,
    store::StoredToken,
};

impl ClientRpc {
    pub(super) async fn tokens(
        &self,
        message: v1::ListTokensRequest,
    ) -> Result<v1::ListTokensResponse, Refusal> {
        let client_id = parse::client_id(&message.client_id)?;
        let size = parse::page_size(message.page_size)?;
        let keys = self.store.installation().await?.tag_keys;
        let v1::ListTokensRequest { client_id: named, page_token: token, .. } = message;
        let unpaged = v1::ListTokensRequest { client_id: named, ..Default::default() };
        let list = list_of(Method::ListTokens, &unpaged);
        let before = match &*token {
            "" => None,
            token => {
                let position = position_in(&keys, &list, token);
                let position = position.map_err(Refusal::of_field("page_token"))?;
                // Only an id of ours has a tag of ours.
                Some(parse::token_id(&position)?)
            }
        };
        let page = self.registry.live_tokens(&client_id, before, size as usize).await?;
        let next = page.next.map(|TokenId(id)| page_token(&keys, &list, &id.to_string()));
        let unreadable = page.tokens.iter().filter_map(|row| row.as_ref().err());
        Ok(v1::ListTokensResponse {
            unreadable: unreadable.map(render::unreadable).collect(),
            tokens: page.tokens.iter().flatten().map(token_message).collect(),
            next_page_token: next.unwrap_or_default(),
        })
    }

    pub(super) async fn revoke_token(
        &self,
        caller: Caller,
        message: v1::RevokeTokenByIdRequest,
    ) -> Result<v1::RevokeTokenByIdResponse, Refusal> {
        let id = parse::token_id(&message.token_id)?;
        let revoked = self.registry_for(&caller).revoke_token(id).await?;
        Ok(v1::RevokeTokenByIdResponse {
            client_id: client_id_of(&revoked.token),
            already_revoked: !revoked.is_new,
        })
    }

    pub(super) async fn simulate(
        &self,
        message: v1::SimulateIssueRequest,
    ) -> Result<v1::SimulateIssueResponse, Refusal> {
        let client_id = parse::client_id(&message.client_id)?;
        let (scopes, resources) = (&message.scopes, &message.resources);
        let simulation = self.registry.simulate_issue(&client_id, scopes, resources).await?;
        Ok(simulation_message(&simulation))
    }

    pub(super) async fn explain(
        &self,
        message: v1::ExplainTokenRequest,
    ) -> Result<v1::ExplainTokenResponse, Refusal> {
        let asked = match (&*message.token, &*message.token_id) {
            ("", "") => {
                return Err(Refusal::invalid("token", "send the text of a token, or its token_id"));
            }
            (text, "") => AskedToken::Text(text),
            ("", id) => AskedToken::Id(parse::token_id(id)?),
            _ => return Err(Refusal::invalid("token_id", "send either token or token_id")),
        };
        let seen_by = Some(&*message.as_client_id).filter(|text| !text.is_empty());
        let seen_by = seen_by.map(ClientId::parse).transpose();
        let seen_by = seen_by.map_err(Refusal::of_field("as_client_id"))?;
        let explanation = self.registry.explain_token(asked, seen_by.as_ref()).await?;
        Ok(explanation_message(&explanation))
    }
}

fn client_id_of(token: &StoredToken) -> String {
    token.facts.as_ref().map(|facts| facts.client.client_id.to_string()).unwrap_or_default()
}

fn token_message(token: &StoredToken) -> v1::Token {
    let now = token.facts.as_ref().and_then(|facts| facts.granted.as_deref());
    let now = now.cloned().unwrap_or_default();
    let lost = token.lost();
    v1::Token {
        id: token.id.0.to_string(),
        client_id: client_id_of(token),
        scopes: render::texts(&now.scopes),
        audiences: render::texts(&now.audiences),
        lost_scopes: render::texts(&lost.scopes),
        lost_audiences: render::texts(&lost.audiences),
        issue_time: Some(render::moment(token.issued_at)),
        expire_time: Some(render::moment(token.expires_at)),
        secret_id: token.credential.0.to_string(),
    }
}

fn simulation_message(simulation: &Simulation) -> v1::SimulateIssueResponse {
    let outcome = match &simulation.outcome {
        Simulated::Issued(granted, lifetime) => Outcome::Token(v1::SimulatedToken {
            scopes: render::texts(&granted.scopes),
            audiences: render::texts(&granted.audiences),
            lifetime: Some(Duration {
                seconds: i64::try_from(lifetime.as_secs()).unwrap_or(i64::MAX),
                nanos: 0,
            }),
        }),
        refused => {
            let failure = refused.error().map(|error| Refusal::from(error).into_failure());
            Outcome::Refusal(v1::Failure {
                message: refused.why().unwrap_or_default(),
                ..failure.unwrap_or_default()
            })
        }
    };
    let quota = simulation.client.quota;
    v1::SimulateIssueResponse {
        outcome: Some(outcome),
        live_secrets: render::count(simulation.live_secrets),
        tokens_per_second: render::limit(quota.tokens_per_second),
        token_burst: render::limit(quota.burst),
        live_tokens: render::limit(quota.live_tokens),
    }
}

fn explanation_message(explanation: &Explanation) -> v1::ExplainTokenResponse {
    let seen = explanation.seen.as_deref().cloned().unwrap_or_default();
    v1::ExplainTokenResponse {
        active: explanation.is_active(),
        reasons: explanation.reasons.iter().map(inactivity_message).collect(),
        token: explanation.token.as_ref().map(token_message),
        text_compared: explanation.is_text_compared == Some(true),
        seen_scopes: render::texts(&seen.scopes),
        seen_audiences: render::texts(&seen.audiences),
        token_id: explanation.id.map(|id| id.0.to_string()).unwrap_or_default(),
        text_not_compared: explanation.is_text_compared == Some(false),
        audit_trail_unreadable: !explanation.is_trail_readable,
    }
}

fn inactivity_message(inactivity: &Inactivity) -> v1::Inactivity {
    let reason = match inactivity.reason {
        InactiveReason::NotOurs => v1::InactiveReason::NotOurs,
        InactiveReason::NotFound => v1::InactiveReason::NotFound,
        InactiveReason::TextDiffers => v1::InactiveReason::TextDiffers,
        InactiveReason::Expired => v1::InactiveReason::Expired,
        InactiveReason::Revoked => v1::InactiveReason::Revoked,
        InactiveReason::SecretLeaked => v1::InactiveReason::SecretLeaked,
        InactiveReason::ClientDisabled => v1::InactiveReason::ClientDisabled,
        InactiveReason::ClientDeleted => v1::InactiveReason::ClientDeleted,
        InactiveReason::TokensRevoked => v1::InactiveReason::TokensRevoked,
        InactiveReason::ClientNotBefore => v1::InactiveReason::ClientNotBefore,
        InactiveReason::InstallationNotBefore => v1::InactiveReason::InstallationNotBefore,
        InactiveReason::Narrowed => v1::InactiveReason::Narrowed,
        InactiveReason::NotServed => v1::InactiveReason::NotServed,
    };
    v1::Inactivity {
        reason: reason.into(),
        since_time: inactivity.since.map(render::moment),
        actor: inactivity.actor.clone().unwrap_or_default(),
        audit_seq: inactivity.seq.unwrap_or(0),
    }
}
