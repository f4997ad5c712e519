//! Administrators: callers with a token for administration (RFC 6750).

use std::sync::Arc;

use super::Authority;
use crate::domain::{
    Client, Clock, Error, Permissions, TokenLifetime, TokenText, is_administration_alone,
};

/// Proof that a caller presented an active token for administration. Only
/// [`Authority::administrator`] creates one.
#[derive(Debug)]
pub struct Administrator {
    client: Arc<Client>,
    permissions: Permissions,
}

impl Administrator {
    /// The client whose token it is.
    #[must_use]
    pub const fn client(&self) -> &Arc<Client> {
        &self.client
    }

    /// What the token permits, and its client still has.
    #[must_use]
    pub const fn permissions(&self) -> Permissions {
        self.permissions
    }
}

impl Authority {
    /// Returns the administrator who presents `token`; `None` if the token is not active, or not
    /// for administration alone.
    ///
    /// # Errors
    /// Errors of the store: a failed look-up is an error and never "no administrator".
    pub async fn administrator(&self, token: &TokenText) -> Result<Option<Administrator>, Error> {
        // 1. A text with a wrong tag is refused without a query.
        if !token.has_tag_of(&*self.cache.tag_keys().await?) {
            return Ok(None);
        }

        // 2. Look the token up.
        let Some(found) = self.cache.find_token(token.id()).await? else { return Ok(None) };

        // 3. It must be active, short-lived, and for nothing but administration. The latter holds
        //    for its client too, whatever an edit by hand has made of it.
        let (facts, client) = (&found.facts, &found.facts.client);
        let is_good = found.digest.matches(&token.digest())
            && facts.is_alive(self.clock.now())
            && facts.expires_at.since(facts.issued_at)
                <= TokenLifetime::OF_ADMINISTRATORS.duration()
            && client.is_for_administration_alone();
        let granted = facts.granted.as_ref().filter(|_| is_good);
        let granted = granted.filter(|granted| is_administration_alone(&granted.audiences));

        // 4. A permission that was taken from the client is no longer among those of its token.
        Ok(granted.map(|granted| Administrator {
            client: Arc::clone(client),
            permissions: Permissions::of(&granted.scopes),
        }))
    }
}
