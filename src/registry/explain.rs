//! Why a token is inactive: all reasons that hold, and who brought them about.

use std::sync::Arc;

use super::{AuditQuery, Registry, RegistryError};
use crate::{
    domain::{AuditEntry, ClientId, Granted, InactiveReason, Timestamp, TokenId, TokenText},
    store::{AuditFilter, Denied, StoredToken, WHOLE_TRAIL},
};

/// The token that is asked about.
#[derive(Debug)]
pub enum AskedToken<'a> {
    /// By its text, or what should be one.
    Text(&'a str),
    /// By its id.
    Id(TokenId),
}

/// What is known of a token at one moment.
#[derive(Debug)]
pub struct Explanation {
    /// Id of the token; `None` if the text has none.
    pub id: Option<TokenId>,
    /// The token; `None` if it is not found.
    pub token: Option<StoredToken>,
    /// Why it is inactive, the strongest reason first. Empty if it is active.
    pub reasons: Vec<Inactivity>,
    /// Whether the text was compared with the digest; `None` if only the id is known. It is not
    /// compared if the role of the database may not read digests.
    pub is_text_compared: Option<bool>,
    /// What the resource server sees for which it was asked; `None` for nobody.
    pub seen: Option<Arc<Granted>>,
    /// Whether the audit trail could be read, which knows who brought the reasons about.
    pub is_trail_readable: bool,
}

/// One reason why a token is inactive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inactivity {
    /// The reason.
    pub reason: InactiveReason,
    /// Since when it holds, as far as that is known.
    pub since: Option<Timestamp>,
    /// Who brought it about, as the audit trail names it.
    pub actor: Option<String>,
    /// Position in the audit trail.
    pub seq: Option<i64>,
}

impl Explanation {
    /// Whether the token is active, for the resource server for which it was asked.
    #[must_use]
    pub const fn is_active(&self) -> bool {
        self.reasons.is_empty()
    }

    /// Whether this reason holds.
    #[must_use]
    pub fn has(&self, reason: InactiveReason) -> bool {
        self.reasons.iter().any(|held| held.reason == reason)
    }
}

impl StoredToken {
    /// What the token was issued with and its client has lost since. Empty if its client is gone.
    #[must_use]
    pub fn lost(&self) -> Granted {
        let Some(facts) = &self.facts else { return Granted::default() };
        Granted {
            scopes: &self.issued.scopes - &facts.client.scopes,
            audiences: &self.issued.audiences - &facts.client.audiences,
        }
    }

    /// The reasons that its row tells at `now`.
    fn reasons(&self, now: Timestamp) -> Vec<InactiveReason> {
        if let Some(facts) = &self.facts {
            return facts.inactive_reasons(now).collect();
        }
        // Without its client there are no facts, and introspection does not find the token.
        let mut reasons = Vec::new();
        reasons.extend((now >= self.expires_at).then_some(InactiveReason::Expired));
        reasons.extend(self.is_revoked.then_some(InactiveReason::Revoked));
        reasons.push(InactiveReason::ClientDeleted);
        reasons
    }
}

impl Registry {
    /// Explains whether a token is active, and for `seen_by`, what that resource server sees of it.
    ///
    /// # Errors
    /// `NoSuchClient` if there is no client `seen_by`. A row that cannot be read is an error, as it
    /// is at introspection.
    pub async fn explain_token(
        &self,
        asked: AskedToken<'_>,
        seen_by: Option<&ClientId>,
    ) -> Result<Explanation, RegistryError> {
        let caller = match seen_by {
            Some(client_id) => Some(self.find(client_id).await?),
            None => None,
        };
        let mut reasons = Vec::new();
        let (id, text) = match asked {
            AskedToken::Id(id) => (Some(id), None),
            AskedToken::Text(text) => {
                let text = TokenText::parse(text).ok();
                if !self.is_ours(text.as_ref()).await? {
                    reasons.push(InactiveReason::NotOurs);
                }
                (text.as_ref().map(TokenText::id), Some(text))
            }
        };
        let mut is_text_compared = text.as_ref().map(|_| false);
        let token = match id {
            Some(id) => self.store.stored_token(id).await?,
            None => None,
        };
        match &token {
            Some(token) => {
                if let Some(Some(text)) = &text {
                    let matches = self.matches(text).await?;
                    is_text_compared = Some(matches.is_some());
                    reasons.extend((matches == Some(false)).then_some(InactiveReason::TextDiffers));
                }
                reasons.extend(token.reasons(self.clock.now()));
            }
            None => reasons.extend(id.map(|_| InactiveReason::NotFound)),
        }
        let facts = token.as_ref().and_then(|token| token.facts.as_ref());
        let seen = caller.as_ref().zip(facts).and_then(|(caller, facts)| facts.seen_by(caller));
        // A token that keeps nothing is seen by nobody, whatever the server serves.
        let is_hidden = facts.is_some_and(|facts| facts.granted.is_some()) && seen.is_none();
        if caller.is_some() && is_hidden {
            reasons.push(InactiveReason::NotServed);
        }
        let (reasons, is_trail_readable) = self.traced(token.as_ref(), reasons).await?;
        Ok(Explanation { id, token, reasons, is_text_compared, seen, is_trail_readable })
    }

    /// Whether a text has the form of a token and a tag of ours. A role that may not read the tag
    /// keys takes each text for one of ours that has the form.
    async fn is_ours(&self, text: Option<&TokenText>) -> Result<bool, RegistryError> {
        let Some(text) = text else { return Ok(false) };
        match self.store.installation().await {
            Ok(installation) => Ok(text.has_tag_of(&installation.tag_keys)),
            Err(error) if Denied::is_behind(&error) => Ok(true),
            Err(error) => Err(error.into()),
        }
    }

    /// Whether the text is the one that was issued; `None` if the role may not read digests.
    async fn matches(&self, text: &TokenText) -> Result<Option<bool>, RegistryError> {
        match self.store.token_digest(text.id()).await {
            Ok(digest) => Ok(Some(digest.is_some_and(|digest| digest.matches(&text.digest())))),
            Err(error) if Denied::is_behind(&error) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// The reasons with their moments, and with their actors if the audit trail can be read.
    async fn traced(
        &self,
        token: Option<&StoredToken>,
        reasons: Vec<InactiveReason>,
    ) -> Result<(Vec<Inactivity>, bool), RegistryError> {
        let (mut traced, mut is_readable) = (Vec::with_capacity(reasons.len()), true);
        for reason in reasons {
            let entry = match token.and_then(|token| trail_of(reason, token)) {
                Some(queries) if is_readable => match self.last_entry(&queries).await {
                    Err(RegistryError::Store(error)) if Denied::is_behind(&error) => {
                        is_readable = false;
                        None
                    }
                    found => found?,
                },
                _ => None,
            };
            let since = token.and_then(|token| moment_of(reason, token));
            traced.push(Inactivity {
                reason,
                since: since.or_else(|| entry.as_ref().map(|entry| entry.at)),
                actor: entry.as_ref().and_then(author),
                seq: entry.map(|entry| entry.seq),
            });
        }
        Ok((traced, is_readable))
    }

    /// The newest entry of the audit trail that one of the queries finds.
    async fn last_entry(
        &self,
        queries: &[AuditQuery],
    ) -> Result<Option<AuditEntry>, RegistryError> {
        let mut last: Option<AuditEntry> = None;
        for query in queries {
            let found = self.find_audit(query, WHOLE_TRAIL, 1).await?;
            let found = found.into_iter().flatten().next();
            last = last.into_iter().chain(found).max_by_key(|entry| entry.seq);
        }
        Ok(last)
    }
}

/// Who made a change: the actor, or for an edit by hand the role of the database.
fn author(entry: &AuditEntry) -> Option<String> {
    let by_hand = || entry.login.as_ref().map(|login| format!("by hand: {login}"));
    entry.actor_in_full().or_else(by_hand)
}

/// Since when a reason holds, as far as the rows tell.
fn moment_of(reason: InactiveReason, token: &StoredToken) -> Option<Timestamp> {
    let facts = token.facts.as_ref();
    match reason {
        InactiveReason::Expired => Some(token.expires_at),
        InactiveReason::Revoked => token.revoked_at,
        InactiveReason::SecretLeaked => token.leaked_at,
        InactiveReason::ClientNotBefore => facts?.client.not_before,
        InactiveReason::InstallationNotBefore => facts?.not_before,
        _ => None,
    }
}

/// Which entries of the audit trail brought a reason about. Each was written after the token was
/// issued. `None` if nobody did.
fn trail_of(reason: InactiveReason, token: &StoredToken) -> Option<Vec<AuditQuery>> {
    let since = Some(token.issued_at);
    let about = |id, action: &str| AuditQuery {
        rows: AuditFilter { id, action: Some(action.to_owned()), since, ..AuditFilter::default() },
        ..AuditQuery::default()
    };
    let field = |query, field: &str| AuditQuery { field: Some(field.to_owned()), ..query };
    let client = || about(Some(token.client.0), "client");
    let installation = || about(None, "installation");
    let queries = match reason {
        InactiveReason::Revoked => vec![about(Some(token.id.0), "token.revoke")],
        InactiveReason::SecretLeaked => {
            vec![field(about(Some(token.credential.0), "secret"), "burnt_at")]
        }
        InactiveReason::ClientDisabled => {
            vec![AuditQuery { gained: Some("disabled".to_owned()), ..field(client(), "state") }]
        }
        InactiveReason::ClientDeleted => vec![about(Some(token.client.0), "client.delete")],
        InactiveReason::TokensRevoked => {
            vec![field(client(), "generation"), field(installation(), "generation")]
        }
        InactiveReason::ClientNotBefore => vec![field(client(), "not_before")],
        InactiveReason::InstallationNotBefore => vec![field(installation(), "not_before")],
        InactiveReason::Narrowed => {
            let lost = token.lost();
            let scopes = lost.scopes.first().map(ToString::to_string);
            let audiences = lost.audiences.first().map(ToString::to_string);
            let lost_from = |name: &str, lost: Option<String>| {
                lost.map(|lost| AuditQuery { lost: Some(lost), ..field(client(), name) })
            };
            let queries = [lost_from("scopes", scopes), lost_from("audiences", audiences)];
            queries.into_iter().flatten().collect()
        }
        InactiveReason::NotOurs
        | InactiveReason::NotFound
        | InactiveReason::TextDiffers
        | InactiveReason::Expired
        | InactiveReason::NotServed => return None,
    };
    Some(queries)
}
