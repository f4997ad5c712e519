//! Updates of clients: some fields of one client, while nobody else changes it.

use std::collections::BTreeSet;

use super::{Registry, RegistryError};
use crate::domain::{
    Audience, AudiencePattern, ClientId, ClientQuota, ClientRecord, Etag, FieldChange, GrantType,
    Labels, LimitChange, MAX_AUDIENCES, MAX_SCOPES, Malformed, QuotaChange, QuotaLimit, Scope,
    ScopePattern, TokenLifetime, parse_name, parse_note, parse_owner,
};

/// How often an update is tried while others change the same client.
pub(super) const TRIES: u32 = 10;

/// The fields of a client to change. Those that are `None` stay as they are; a list is replaced as
/// a whole.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ClientUpdate {
    /// Display name.
    pub name: Option<String>,
    /// Grants that the client may use.
    pub grants: Option<BTreeSet<GrantType>>,
    /// Scopes that its tokens may have.
    pub scopes: Option<BTreeSet<Scope>>,
    /// Scopes of a token requested without scopes; they must be within the scopes.
    pub default_scopes: Option<BTreeSet<Scope>>,
    /// Audiences that its tokens may be for.
    pub audiences: Option<BTreeSet<Audience>>,
    /// Audience of a token for which none is requested.
    pub default_audience: AudienceChange,
    /// Whether one token may be for several audiences.
    pub several_audiences: Option<bool>,
    /// Audiences that the client serves.
    pub serves: Option<BTreeSet<Audience>>,
    /// Lifetime of its tokens.
    pub token_lifetime: Option<TokenLifetime>,
    /// Limits of its quota, each of which may stay as it is.
    pub quota: QuotaChange,
    /// All its labels.
    pub labels: Option<Labels>,
    /// Who is responsible for it.
    pub owner: Option<String>,
    /// Anything else that operators should know about it.
    pub note: Option<String>,
    /// Scopes that it may give, if it is an administrator; any but `jeton:` if empty.
    pub grantable_scopes: Option<BTreeSet<ScopePattern>>,
    /// Audiences that it may give, if it is an administrator; any if empty.
    pub grantable_audiences: Option<BTreeSet<AudiencePattern>>,
}

/// What becomes of the default audience.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum AudienceChange {
    /// It stays as it is.
    #[default]
    Keep,
    /// There is none any more.
    Clear,
    /// It is this one.
    Set(Audience),
}

/// A client before and after an update.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Updated {
    /// As it was when the update was made.
    pub before: ClientRecord,
    /// As it is now.
    pub after: ClientRecord,
}

impl Updated {
    /// The fields that have another value now.
    #[must_use]
    pub fn changes(&self) -> Vec<FieldChange> {
        self.before.changes_to(&self.after)
    }

    fn changes_nothing(&self) -> bool {
        self.before == self.after
    }
}

impl ClientUpdate {
    /// The client after this update.
    ///
    /// # Errors
    /// `Malformed` if it would break a rule that creation checks as well.
    fn applied_to(&self, record: &ClientRecord) -> Result<ClientRecord, Malformed> {
        let ClientRecord { mut client, mut about } = record.clone();
        set(&mut client.name, self.name.as_ref());
        set(&mut client.grants, self.grants.as_ref());
        set(&mut client.scopes, self.scopes.as_ref());
        set(&mut client.default_scopes, self.default_scopes.as_ref());
        set(&mut client.audiences, self.audiences.as_ref());
        match &self.default_audience {
            AudienceChange::Keep => {}
            AudienceChange::Clear => client.default_audience = None,
            AudienceChange::Set(audience) => client.default_audience = Some(audience.clone()),
        }
        set(&mut client.several_audiences, self.several_audiences.as_ref());
        set(&mut client.serves, self.serves.as_ref());
        set(&mut client.token_lifetime, self.token_lifetime.as_ref());
        client.quota = ClientQuota {
            tokens_per_second: limit(client.quota.tokens_per_second, self.quota.tokens_per_second),
            burst: limit(client.quota.burst, self.quota.burst),
            live_tokens: limit(client.quota.live_tokens, self.quota.live_tokens),
        };
        set(&mut about.labels, self.labels.as_ref());
        set(&mut about.owner, self.owner.as_ref());
        set(&mut about.note, self.note.as_ref());
        set(&mut about.grantable.scopes, self.grantable_scopes.as_ref());
        set(&mut about.grantable.audiences, self.grantable_audiences.as_ref());
        let record = ClientRecord { client, about };
        check(&record)?;
        Ok(record)
    }
}

fn set<T: Clone>(field: &mut T, value: Option<&T>) {
    if let Some(value) = value {
        field.clone_from(value);
    }
}

const fn limit(before: Option<QuotaLimit>, change: LimitChange) -> Option<QuotaLimit> {
    match change {
        LimitChange::Keep => before,
        LimitChange::UseDefault | LimitChange::Set(_) => change.limit(),
    }
}

/// The rules that every client keeps which is stored through the registry, beside those that the
/// types of its values keep.
///
/// # Errors
/// `Malformed`, which names the rule.
pub fn check(ClientRecord { client, about }: &ClientRecord) -> Result<(), Malformed> {
    parse_name(&client.name)?;
    parse_owner(&about.owner)?;
    parse_note(&about.note)?;
    client.check_reserved()?;
    about.grantable.check_for(client)?;
    if client.scopes.len() > MAX_SCOPES {
        return Err(Malformed("there can be at most 64 scopes"));
    }
    if client.audiences.len() > MAX_AUDIENCES || client.serves.len() > MAX_AUDIENCES {
        return Err(Malformed("there can be at most 16 audiences, and 16 that a client serves"));
    }
    if !client.default_scopes.is_subset(&client.scopes) {
        return Err(Malformed("a default scope must be one of the client's scopes"));
    }
    if client.default_audience.as_ref().is_some_and(|name| !client.audiences.contains(name)) {
        return Err(Malformed("a default audience must be one of the client's audiences"));
    }
    Ok(())
}

impl Registry {
    /// Changes the named fields of a client and no others. Returns once no node acts on the earlier
    /// state.
    ///
    /// With an etag the client must still have the content that the etag was made of, or the update
    /// is refused. Without one it is applied to whatever the client is now.
    pub async fn update_client(
        &self,
        client_id: &ClientId,
        update: &ClientUpdate,
        etag: Option<&Etag>,
    ) -> Result<Updated, RegistryError> {
        for _ in 0..TRIES {
            let updated = self.preview_update(client_id, update, etag).await?;
            if updated.changes_nothing() {
                // The writer that made it so may still be waiting for the nodes.
                self.store.settle().await?;
                return Ok(updated);
            }
            let read = updated.before.client.version;
            if self.store.update_record(&updated.after, read, &self.actor).await? {
                return Ok(updated);
            }
        }
        Err(RegistryError::ChangedMeanwhile(client_id.clone()))
    }

    /// What [`update_client`](Self::update_client) would do now. Changes nothing.
    pub async fn preview_update(
        &self,
        client_id: &ClientId,
        update: &ClientUpdate,
        etag: Option<&Etag>,
    ) -> Result<Updated, RegistryError> {
        let before = self.record(client_id).await?;
        if let Some(etag) = etag.filter(|etag| !etag.matches(&before)) {
            let differing = etag.differing(&before);
            return Err(RegistryError::EtagMismatch(client_id.clone(), differing));
        }
        let mut after = update.applied_to(&before)?;
        if after != before {
            after.client.version = before.client.version.saturating_add(1);
        }
        Ok(Updated { before, after })
    }
}
