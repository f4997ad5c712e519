//! What the commands on tokens print, wherever it comes from.

use std::collections::BTreeSet;

use tonic_types::StatusExt;
use uuid::Uuid;

use crate::{
    domain::{Granted, QuotaLimit, Timestamp},
    registry::{Explanation, Inactivity, Simulated, Simulation},
    rpc::status::from_error,
    store::{Readable, StoredToken},
};

/// A token without its text.
pub(in crate::cli) struct ShownToken {
    pub(in crate::cli) id: Uuid,
    /// `None` if the client was deleted.
    pub(in crate::cli) client_id: Option<String>,
    /// What it grants now.
    pub(in crate::cli) now: ShownGrant,
    /// What it was issued with and its client has lost since.
    pub(in crate::cli) lost: ShownGrant,
    pub(in crate::cli) issued_at: Timestamp,
    pub(in crate::cli) expires_at: Timestamp,
    pub(in crate::cli) secret: Uuid,
}

/// Scopes and audiences, each in order.
pub(in crate::cli) struct ShownGrant {
    pub(in crate::cli) scopes: Vec<String>,
    pub(in crate::cli) audiences: Vec<String>,
}

/// The newest live tokens of a client.
pub(in crate::cli) struct ShownTokens {
    pub(in crate::cli) tokens: Vec<Readable<ShownToken>>,
    pub(in crate::cli) has_more: bool,
}

/// What is known of a token. Its members are those of [`Explanation`].
pub(in crate::cli) struct ShownExplanation {
    pub(in crate::cli) id: Option<Uuid>,
    pub(in crate::cli) token: Option<ShownToken>,
    pub(in crate::cli) reasons: Vec<Inactivity>,
    pub(in crate::cli) is_text_compared: Option<bool>,
    /// What the resource server sees; `None` for nothing.
    pub(in crate::cli) seen: Option<ShownGrant>,
    pub(in crate::cli) is_trail_readable: bool,
}

/// What a client would get for a request.
pub(in crate::cli) struct ShownSimulation {
    pub(in crate::cli) outcome: ShownOutcome,
    pub(in crate::cli) live_secrets: u64,
    pub(in crate::cli) tokens_per_second: Option<i64>,
    pub(in crate::cli) token_burst: Option<i64>,
    pub(in crate::cli) live_tokens: Option<i64>,
}

pub(in crate::cli) enum ShownOutcome {
    /// A token that grants this, for so many seconds.
    Token(ShownGrant, u64),
    /// The reason that the caller would be told, and the message.
    Refusal(String, String),
}

impl ShownToken {
    pub(super) fn of(token: &StoredToken) -> Self {
        let facts = token.facts.as_ref();
        let now = facts.and_then(|facts| facts.granted.as_deref()).cloned().unwrap_or_default();
        Self {
            id: token.id.0,
            client_id: facts.map(|facts| facts.client.client_id.to_string()),
            now: ShownGrant::of(&now),
            lost: ShownGrant::of(&token.lost()),
            issued_at: token.issued_at,
            expires_at: token.expires_at,
            secret: token.credential.0,
        }
    }
}

impl ShownGrant {
    pub(super) fn of(granted: &Granted) -> Self {
        Self { scopes: texts(&granted.scopes), audiences: texts(&granted.audiences) }
    }
}

impl ShownExplanation {
    /// Whether the token is active, for the resource server for which it was asked.
    pub(in crate::cli) const fn is_active(&self) -> bool {
        self.reasons.is_empty()
    }

    pub(super) fn of(explanation: Explanation) -> Self {
        let seen = explanation.seen.as_deref().filter(|_| explanation.is_active());
        Self {
            id: explanation.id.map(|id| id.0),
            token: explanation.token.as_ref().map(ShownToken::of),
            is_text_compared: explanation.is_text_compared,
            seen: seen.map(ShownGrant::of),
            is_trail_readable: explanation.is_trail_readable,
            reasons: explanation.reasons,
        }
    }
}

impl ShownSimulation {
    pub(super) fn of(simulation: &Simulation) -> Option<Self> {
        let outcome = match &simulation.outcome {
            Simulated::Issued(granted, lifetime) => {
                ShownOutcome::Token(ShownGrant::of(granted), lifetime.as_secs())
            }
            refused => {
                let info = from_error(refused.error()?).get_details_error_info();
                let reason = info.map(|info| info.reason).unwrap_or_default();
                ShownOutcome::Refusal(reason, refused.why()?)
            }
        };
        let quota = simulation.client.quota;
        let limit = |limit: Option<QuotaLimit>| limit.map(|limit| i64::from(limit.get()));
        Some(Self {
            outcome,
            live_secrets: u64::try_from(simulation.live_secrets).ok()?,
            tokens_per_second: limit(quota.tokens_per_second),
            token_burst: limit(quota.burst),
            live_tokens: limit(quota.live_tokens),
        })
    }
}

fn texts<T: ToString>(set: &BTreeSet<T>) -> Vec<String> {
    set.iter().map(ToString::to_string).collect()
}
