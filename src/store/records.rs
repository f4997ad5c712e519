//! Clients as administrators see them, and how they are found.

use async_trait::async_trait;

use super::Readable;
use crate::domain::{
    Actor, Audience, ClientId, ClientRecord, ClientState, Error, Label, Scope, Timestamp,
};

/// What clients must have to be listed: everything that is named here.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ClientFilter {
    /// Part of the `client_id` or of the name, in letters of either case.
    pub text: Option<String>,
    /// Their state.
    pub state: Option<ClientState>,
    /// A scope that their tokens may have.
    pub scope: Option<Scope>,
    /// An audience that their tokens may be for.
    pub audience: Option<Audience>,
    /// An audience that they serve.
    pub serves: Option<Audience>,
    /// Labels that they have.
    pub labels: Vec<Label>,
    /// Their owner, exactly.
    pub owner: Option<String>,
    /// The moment at which no secret of theirs is live.
    pub without_live_secret_at: Option<Timestamp>,
}

impl ClientFilter {
    /// The text to look for, its ASCII letters in lower case, as both databases compare it.
    pub(super) fn folded_text(&self) -> Option<String> {
        self.text.as_ref().map(|text| text.to_ascii_lowercase())
    }
}

/// Clients with everything that administrators see of them.
///
/// # Errors
/// As described at [`Store`](super::Store).
#[async_trait]
pub trait RecordStore: Send + Sync {
    /// Whether this role may create clients, without which the database lets it record no tokens
    /// for administration. True where the database has no roles.
    async fn may_create_clients(&self) -> Result<bool, Error> {
        Ok(true)
    }

    /// Finds a client by its `client_id`.
    async fn find_record(&self, client_id: &ClientId) -> Result<Option<ClientRecord>, Error>;

    /// Lists at most `limit` clients after `after`, ordered by `client_id`. `after` is the text of
    /// a column, which need not be a valid `client_id`. Rows without a `client_id` come first.
    async fn list_records(
        &self,
        filter: &ClientFilter,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Vec<Readable<ClientRecord>>, Error>;

    /// Stores what an update may change of a client, unless the row was changed since version
    /// `read`, or is gone: then it returns false. It is one statement, so of several writers that
    /// read the same version exactly one succeeds. Otherwise it returns once no node acts on the
    /// earlier state.
    async fn update_record(
        &self,
        record: &ClientRecord,
        read: i64,
        actor: &Actor,
    ) -> Result<bool, Error>;
}
