//! The use cases on tokens in both ways: the registry on a database, or the calls of a node.

use uuid::Uuid;

use super::{
    Clients, Site,
    node::{Calls, Node},
    reading::{self, understood},
    shown::{ShownExplanation, ShownGrant, ShownOutcome, ShownSimulation, ShownToken, ShownTokens},
};
use crate::{
    domain::{Actor, ClientId, InactiveReason, TokenId},
    pb::v1::{self, simulate_issue_response::Outcome},
    registry::{AskedToken, Inactivity, Registry},
    store::Readable,
};

/// Tokens per page of a list, which is the most that a node takes.
const PAGE: usize = 500;

/// The tokens of a database or of a node.
pub(in crate::cli) enum Tokens<'a> {
    Database(Registry),
    Node(&'a Node),
}

/// A token that is revoked.
pub(in crate::cli) struct Revoked {
    pub(in crate::cli) client_id: Option<String>,
    /// Whether it was not revoked before.
    pub(in crate::cli) is_new: bool,
}

impl Site {
    /// The tokens there.
    pub(in crate::cli) fn tokens(&self, actor: Actor) -> Tokens<'_> {
        match self.clients(actor) {
            Clients::Database(registry) => Tokens::Database(registry),
            Clients::Node(node) => Tokens::Node(node),
        }
    }
}

impl Tokens<'_> {
    /// Lists the live tokens of a client, the newest first.
    pub(in crate::cli) async fn list(
        &self,
        client: &ClientId,
        limit: usize,
    ) -> anyhow::Result<ShownTokens> {
        let registry = match self {
            Self::Database(registry) => registry,
            Self::Node(node) => return node.live_tokens(client, limit).await,
        };
        let page = registry.live_tokens(client, None, limit).await?;
        let tokens = page.tokens.into_iter().map(|row| row.map(|token| ShownToken::of(&token)));
        Ok(ShownTokens { tokens: tokens.collect(), has_more: page.next.is_some() })
    }

    /// Explains whether a token is active, and what a resource server sees of it.
    pub(in crate::cli) async fn explain(
        &self,
        asked: AskedToken<'_>,
        seen_by: Option<&ClientId>,
    ) -> anyhow::Result<ShownExplanation> {
        match self {
            Self::Database(registry) => {
                Ok(ShownExplanation::of(registry.explain_token(asked, seen_by).await?))
            }
            Self::Node(node) => node.explain(asked, seen_by).await,
        }
    }

    /// Revokes a token, whatever client it belongs to.
    pub(in crate::cli) async fn revoke(&self, TokenId(id): TokenId) -> anyhow::Result<Revoked> {
        match self {
            Self::Database(registry) => {
                let revoked = registry.revoke_token(TokenId(id)).await?;
                let client = revoked.token.facts.map(|facts| facts.client.client_id.to_string());
                Ok(Revoked { client_id: client, is_new: revoked.is_new })
            }
            Self::Node(node) => {
                let message = v1::RevokeTokenByIdRequest { token_id: id.to_string() };
                let call = async |mut calls: Calls| calls.revoke_token_by_id(message).await;
                let revoked = node.ask(call).await?;
                let client_id = Some(revoked.client_id).filter(|id| !id.is_empty());
                Ok(Revoked { client_id, is_new: !revoked.already_revoked })
            }
        }
    }

    /// Decides what a request of a client would get now.
    pub(in crate::cli) async fn simulate(
        &self,
        client: &ClientId,
        scopes: &[String],
        resources: &[String],
    ) -> anyhow::Result<ShownSimulation> {
        match self {
            Self::Database(registry) => {
                let simulation = registry.simulate_issue(client, scopes, resources).await?;
                understood("simulation", ShownSimulation::of(&simulation))
            }
            Self::Node(node) => {
                let message = v1::SimulateIssueRequest {
                    client_id: client.to_string(),
                    scopes: scopes.to_vec(),
                    resources: resources.to_vec(),
                };
                let call = async |mut calls: Calls| calls.simulate_issue(message).await;
                understood("simulation", simulation(node.ask(call).await?))
            }
        }
    }
}

impl Node {
    async fn live_tokens(&self, client: &ClientId, limit: usize) -> anyhow::Result<ShownTokens> {
        let mut tokens: Vec<Readable<ShownToken>> = Vec::new();
        let mut message = v1::ListTokensRequest {
            client_id: client.to_string(),
            ..v1::ListTokensRequest::default()
        };
        loop {
            let size = limit.saturating_sub(tokens.len()).min(PAGE);
            message.page_size = i32::try_from(size)?;
            let asked = message.clone();
            let page = self.ask(async |mut calls: Calls| calls.list_tokens(asked).await).await?;
            for listed in &page.tokens {
                tokens.push(Ok(understood("token", token(listed))?));
            }
            let unreadable = page.unreadable.iter();
            tokens.extend(unreadable.map(|row| Err(reading::unreadable(row, "access_token"))));
            message.page_token = page.next_page_token;
            if message.page_token.is_empty() || tokens.len() >= limit {
                break;
            }
        }
        // Rows that cannot be read come after those of their page; ids are in order of issue.
        if tokens.iter().any(Result::is_err) {
            let id = |row: &Readable<ShownToken>| match row {
                Ok(token) => Some(token.id),
                Err(row) => row.id,
            };
            tokens.sort_by_key(|token| std::cmp::Reverse(id(token)));
        }
        Ok(ShownTokens { tokens, has_more: !message.page_token.is_empty() })
    }

    async fn explain(
        &self,
        asked: AskedToken<'_>,
        seen_by: Option<&ClientId>,
    ) -> anyhow::Result<ShownExplanation> {
        let (text, id) = match asked {
            AskedToken::Text(text) => (text.to_owned(), String::new()),
            AskedToken::Id(TokenId(id)) => (String::new(), id.to_string()),
        };
        let message = v1::ExplainTokenRequest {
            token: text,
            token_id: id,
            as_client_id: seen_by.map(ToString::to_string).unwrap_or_default(),
        };
        let call = async |mut calls: Calls| calls.explain_token(message).await;
        understood("explanation", explanation(self.ask(call).await?))
    }
}

fn token(message: &v1::Token) -> Option<ShownToken> {
    let grant = |scopes: &[String], audiences: &[String]| ShownGrant {
        scopes: scopes.to_vec(),
        audiences: audiences.to_vec(),
    };
    Some(ShownToken {
        id: Uuid::try_parse(&message.id).ok()?,
        client_id: Some(message.client_id.clone()).filter(|id| !id.is_empty()),
        now: grant(&message.scopes, &message.audiences),
        lost: grant(&message.lost_scopes, &message.lost_audiences),
        issued_at: reading::moment(message.issue_time.as_ref()?)?,
        expires_at: reading::moment(message.expire_time.as_ref()?)?,
        secret: Uuid::try_parse(&message.secret_id).ok()?,
    })
}

fn explanation(message: v1::ExplainTokenResponse) -> Option<ShownExplanation> {
    let id = Some(&*message.token_id).filter(|id| !id.is_empty());
    let seen = ShownGrant { scopes: message.seen_scopes, audiences: message.seen_audiences };
    Some(ShownExplanation {
        id: id.map(Uuid::try_parse).transpose().ok()?,
        token: match &message.token {
            Some(found) => Some(token(found)?),
            None => None,
        },
        reasons: message.reasons.into_iter().map(inactivity).collect::<Option<_>>()?,
        is_text_compared: match (message.text_compared, message.text_not_compared) {
            (true, _) => Some(true),
            (false, true) => Some(false),
            (false, false) => None,
        },
        seen: Some(seen).filter(|_| message.active),
        is_trail_readable: !message.audit_trail_unreadable,
    })
}

fn inactivity(message: v1::Inactivity) -> Option<Inactivity> {
    let reason = match v1::InactiveReason::try_from(message.reason).ok()? {
        v1::InactiveReason::Unspecified => return None,
        v1::InactiveReason::NotOurs => InactiveReason::NotOurs,
        v1::InactiveReason::NotFound => InactiveReason::NotFound,
        v1::InactiveReason::TextDiffers => InactiveReason::TextDiffers,
        v1::InactiveReason::Expired => InactiveReason::Expired,
        v1::InactiveReason::Revoked => InactiveReason::Revoked,
        v1::InactiveReason::SecretLeaked => InactiveReason::SecretLeaked,
        v1::InactiveReason::ClientDisabled => InactiveReason::ClientDisabled,
        v1::InactiveReason::ClientDeleted => InactiveReason::ClientDeleted,
        v1::InactiveReason::TokensRevoked => InactiveReason::TokensRevoked,
        v1::InactiveReason::ClientNotBefore => InactiveReason::ClientNotBefore,
        v1::InactiveReason::InstallationNotBefore => InactiveReason::InstallationNotBefore,
        v1::InactiveReason::Narrowed => InactiveReason::Narrowed,
        v1::InactiveReason::NotServed => InactiveReason::NotServed,
    };
    Some(Inactivity {
        reason,
        since: match &message.since_time {
            Some(since) => Some(reading::moment(since)?),
            None => None,
        },
        actor: Some(message.actor).filter(|actor| !actor.is_empty()),
        seq: Some(message.audit_seq).filter(|seq| *seq != 0),
    })
}

fn simulation(message: v1::SimulateIssueResponse) -> Option<ShownSimulation> {
    let outcome = match message.outcome? {
        Outcome::Token(v1::SimulatedToken { scopes, audiences, lifetime }) => {
            let seconds = u64::try_from(lifetime?.seconds).ok()?;
            ShownOutcome::Token(ShownGrant { scopes, audiences }, seconds)
        }
        Outcome::Refusal(refusal) => {
            let reason = v1::ErrorReason::try_from(refusal.reason).ok()?;
            ShownOutcome::Refusal(reason.reason().to_owned(), refusal.message)
        }
    };
    Some(ShownSimulation {
        outcome,
        live_secrets: u64::try_from(message.live_secrets).ok()?,
        tokens_per_second: message.tokens_per_second,
        token_burst: message.token_burst,
        live_tokens: message.live_tokens,
    })
}
