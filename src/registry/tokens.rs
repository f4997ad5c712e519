//! The tokens of a client, and ending one of them.

use super::{Registry, RegistryError};
use crate::{
    domain::{ClientId, TokenId},
    store::{Readable, StoredToken},
};

/// Rows that one query reads. Few of them are inactive, unless the tokens of a client were revoked.
const ROWS: u32 = 500;

/// A page of the live tokens of a client, newest first.
#[derive(Debug)]
pub struct TokenPage {
    /// The tokens, and rows that cannot be read.
    pub tokens: Vec<Readable<StoredToken>>,
    /// The token after which the next page begins; `None` on the last page.
    pub next: Option<TokenId>,
}

/// A token that was revoked by an operator.
#[derive(Debug)]
pub struct RevokedToken {
    /// The token as it was before.
    pub token: StoredToken,
    /// Whether it was revoked now, and not earlier already.
    pub is_new: bool,
}

impl Registry {
    /// Returns at most `size` live tokens of a client, newest first: all, or those issued before
    /// the token `before`. It may read the tokens of all clients.
    ///
    /// # Errors
    /// `NoSuchClient`, and the errors of the store.
    pub async fn live_tokens(
        &self,
        client_id: &ClientId,
        mut before: Option<TokenId>,
        size: usize,
    ) -> Result<TokenPage, RegistryError> {
        self.find(client_id).await?;
        let now = self.clock.now();
        let mut tokens: Vec<Readable<StoredToken>> = Vec::new();
        loop {
            let rows = self.store.unexpired_tokens(client_id, now, before, ROWS).await?;
            let is_last = rows.len() < ROWS as usize;
            for row in rows {
                before = id(&row).or(before);
                let is_shown = match &row {
                    Ok(token) => token.facts.as_ref().is_some_and(|facts| facts.is_alive(now)),
                    Err(_) => true,
                };
                if is_shown && tokens.len() == size {
                    let next = tokens.iter().rev().find_map(id);
                    return Ok(TokenPage { tokens, next });
                }
                tokens.extend(is_shown.then_some(row));
            }
            if is_last {
                return Ok(TokenPage { tokens, next: None });
            }
        }
    }

    /// Returns a token, also one whose client was deleted. `None` if it was removed after its end.
    pub async fn stored_token(&self, id: TokenId) -> Result<Option<StoredToken>, RegistryError> {
        Ok(self.store.stored_token(id).await?)
    }

    /// Revokes a token in the name of the actor of this registry, whatever client it belongs to.
    ///
    /// # Errors
    /// `NoSuchToken`, and the errors of the store.
    pub async fn revoke_token(&self, id: TokenId) -> Result<RevokedToken, RegistryError> {
        let found = self.store.stored_token(id).await?;
        let token = found.ok_or(RegistryError::NoSuchToken(id.0))?;
        let is_new = self.store.revoke_token(id, self.clock.now(), &self.actor).await?;
        Ok(RevokedToken { token, is_new })
    }
}

/// The id of a row, if it can be read.
fn id(row: &Readable<StoredToken>) -> Option<TokenId> {
    match row {
        Ok(token) => Some(token.id),
        Err(row) => row.id.filter(|_| row.table == "access_token").map(TokenId),
    }
}
