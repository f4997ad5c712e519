//! Tokens as operators see them: why one is inactive, which of a client live, and ending one.

use std::sync::Arc;

use async_trait::async_trait;

use super::Readable;
use crate::domain::{
    Actor, ClientId, ClientKey, CredentialId, Error, Granted, Timestamp, TokenDigest, TokenFacts,
    TokenId,
};

/// A token as it is stored. Its digest is left out, because operators may not read it.
#[derive(Debug, Clone)]
pub struct StoredToken {
    /// Id of the token, its `jti`.
    pub id: TokenId,
    /// The client that it was issued to.
    pub client: ClientKey,
    /// The credential that it was issued with.
    pub credential: CredentialId,
    /// Its scopes and audiences as they were issued.
    pub issued: Arc<Granted>,
    /// Time of issue.
    pub issued_at: Timestamp,
    /// Expiry, from which on it is inactive.
    pub expires_at: Timestamp,
    /// Whether it was revoked.
    pub is_revoked: bool,
    /// When it was revoked, as far as that is known.
    pub revoked_at: Option<Timestamp>,
    /// When its secret was declared leaked, as far as that is known.
    pub leaked_at: Option<Timestamp>,
    /// The facts that introspection evaluates. `None` if the client was deleted.
    pub facts: Option<TokenFacts>,
}

/// Looks at tokens, and ends them, for operators.
///
/// # Errors
/// As described at [`Store`](super::Store).
#[async_trait]
pub trait ExplainStore: Send + Sync {
    /// Finds a token, also one whose client was deleted.
    async fn stored_token(&self, id: TokenId) -> Result<Option<StoredToken>, Error>;

    /// Reads the digest of a token. On Postgres the roles of operators may not: see
    /// [`Denied::is_behind`](super::Denied::is_behind).
    async fn token_digest(&self, id: TokenId) -> Result<Option<TokenDigest>, Error>;

    /// Lists at most `limit` tokens of a client that have not expired at `now`, newest first: all,
    /// or those issued before the token `before`. It may read the tokens of all clients.
    async fn unexpired_tokens(
        &self,
        client_id: &ClientId,
        now: Timestamp,
        before: Option<TokenId>,
        limit: u32,
    ) -> Result<Vec<Readable<StoredToken>>, Error>;

    /// Revokes a token in the name of an operator. Returns false if there is no such token, or it
    /// was revoked already, which keeps the time of the first revocation. Returns once no node acts
    /// on the earlier state.
    async fn revoke_token(&self, id: TokenId, now: Timestamp, actor: &Actor)
    -> Result<bool, Error>;
}
