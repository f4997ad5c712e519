//! Issuing an access token.

mod audience;

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use self::audience::granted_audiences;
use super::{AuthenticatedClient, Authority};
use crate::domain::{
    AccessToken, Audience, Client, ClientState, Clock, Error, GrantType, Granted, Lane, QuotaState,
    Scope, TokenText,
};

/// A parsed token request. An empty set asks for the client's default.
#[derive(Debug)]
pub struct IssueRequest {
    /// Grant type of the request.
    pub grant: GrantType,
    /// Requested scopes.
    pub scopes: BTreeSet<Scope>,
    /// Requested audiences, the resource servers that the token is for.
    pub resources: BTreeSet<Audience>,
}

/// A token that has been recorded durably.
#[derive(Debug)]
pub struct IssuedToken {
    /// The token in clear, for the one response that carries it.
    pub token: TokenText,
    /// Remaining lifetime, rounded to the nearest second.
    pub expires_in: Duration,
    /// Scopes and audiences of the token.
    pub granted: Arc<Granted>,
    /// State of the client's quota; `None` if quotas are off.
    pub quota: Option<QuotaState>,
}

impl Authority {
    /// Issues an access token to a caller (RFC 6749, section 4.4).
    ///
    /// # Errors
    /// `UnauthorizedClient`, `InvalidScope`, `InvalidTarget`; `QuotaExceeded`; `InvalidClient` if
    /// the client or its secret was taken out of use meanwhile; otherwise errors of the store.
    /// After `Unavailable` a token may have been recorded that no caller received: it expires
    /// unused.
    pub async fn issue(
        &self,
        caller: &AuthenticatedClient,
        request: IssueRequest,
    ) -> Result<IssuedToken, Error> {
        let client = &caller.client;

        // 1. Check that the client may use the grant.
        if !client.grants.contains(&request.grant) {
            return Err(Error::UnauthorizedClient);
        }

        // 2. Determine scopes and audiences, within those registered for the client.
        let scopes = granted_scopes(client, request.scopes)?;
        let audiences = granted_audiences(client, request.resources)?;
        let granted = Arc::new(Granted { scopes, audiences });

        // 3. Take the token from the client's quota, before anything is made for it.
        let quota = self.quotas.take(client, self.clock.uptime())?;

        // 4. Mint the token. Its lifetime is exact to the microsecond, so it lives neither longer
        //    nor shorter than registered. Truncation to seconds takes the same fraction off `iat`
        //    and `exp`.
        let now = self.clock.now();
        let keys = self.cache.tag_keys().await?;
        let token = TokenText::mint(now, self.random.as_ref(), keys.current())?;
        let recorded = AccessToken {
            id: token.id(),
            digest: token.digest(),
            client: client.key,
            credential: caller.credential,
            granted: Arc::clone(&granted),
            issued_at: now,
            expires_at: now.plus(client.token_lifetime.duration()),
        };

        // 5. Record it durably, if the client and its secret are still in use; only then does the
        //    token exist. The client may have been disabled while this request waited for its hash.
        let expires_at = recorded.expires_at;
        let is_recorded = self.cache.record(recorded).await?;

        // 6. Check that the client has not changed since it was read. A change that is acknowledged
        //    later is acknowledged after the token was recorded, and so applies to it.
        if !is_recorded || !self.cache.is_current(caller.watch.as_ref()) {
            self.check_again(caller, is_recorded).await?;
        }

        // 7. Return the lifetime that remains now, rounded to the nearest second. Rounding down
        //    would take a second off every token, because the write took a few milliseconds.
        let left = expires_at.since(self.clock.now());
        let expires_in = Duration::from_secs((left + Duration::from_millis(500)).as_secs());
        Ok(IssuedToken { token, expires_in, granted, quota })
    }

    /// Reads the caller from the database again: `InvalidClient` if it or its secret is no longer
    /// in use, `Unavailable` if it changed in another way or the token was not recorded. A token
    /// that was recorded and is not returned expires unused.
    async fn check_again(
        &self,
        caller: &AuthenticatedClient,
        is_recorded: bool,
    ) -> Result<(), Error> {
        let (client_id, credential) = (&caller.client.client_id, caller.credential);
        let found = self.cache.read_client(Lane::Issue, client_id, credential).await?;
        let found = found.filter(|found| {
            let credential = found.credential.as_ref();
            found.client.state == ClientState::Active
                && credential.is_some_and(|credential| credential.is_live(self.clock.now()))
        });
        let Some(found) = found else { return Err(Error::InvalidClient) };
        if is_recorded && found.client == caller.client {
            return Ok(());
        }
        Err(Error::unavailable("the client was changed while a token was issued to it"))
    }
}

/// All requested scopes, or an error. RFC 6749 would allow granting fewer, but then a client would
/// learn only from a failing call elsewhere that it lacks one.
fn granted_scopes(client: &Client, asked: BTreeSet<Scope>) -> Result<BTreeSet<Scope>, Error> {
    if !asked.is_empty() {
        if asked.is_subset(&client.scopes) {
            return Ok(asked);
        }
        return Err(Error::InvalidScope("a requested scope is not registered for the client"));
    }
    if client.default_scopes.is_empty() && !client.scopes.is_empty() {
        return Err(Error::InvalidScope("the client has no default scopes, so it must name some"));
    }
    // A default scope that is no longer registered is not granted, whatever the row says.
    let granted: BTreeSet<_> =
        client.default_scopes.intersection(&client.scopes).cloned().collect();
    if granted.is_empty() && !client.default_scopes.is_empty() {
        return Err(Error::InvalidScope(
            "none of the default scopes of the client is registered for it any more",
        ));
    }
    Ok(granted)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{ClientId, ClientKey, ClientQuota, ClientState, Timestamp, TokenLifetime};

    fn scopes(names: &[&str]) -> BTreeSet<Scope> {
        Scope::parse_set(names).unwrap()
    }

    pub(super) fn client() -> Client {
        Client {
            key: ClientKey(uuid::Uuid::nil()),
            client_id: ClientId::parse("orders").unwrap(),
            name: String::new(),
            state: ClientState::Active,
            grants: BTreeSet::new(),
            scopes: BTreeSet::new(),
            default_scopes: BTreeSet::new(),
            audiences: BTreeSet::new(),
            default_audience: None,
            several_audiences: false,
            serves: BTreeSet::new(),
            token_lifetime: TokenLifetime::DEFAULT,
            quota: ClientQuota::default(),
            not_before: None,
            created_at: Timestamp::from_unix_micros(0),
            version: 1,
        }
    }

    fn granted(registered: &[&str], default: &[&str]) -> Result<BTreeSet<Scope>, Error> {
        let (scopes, default_scopes) = (scopes(registered), scopes(default));
        granted_scopes(&Client { scopes, default_scopes, ..client() }, BTreeSet::new())
    }

    #[test]
    fn a_default_scope_is_granted_while_it_is_registered() {
        assert_eq!(granted(&["a", "b"], &["a"]).unwrap(), scopes(&["a"]));
        assert_eq!(granted(&["a"], &["a", "admin"]).unwrap(), scopes(&["a"]));
        assert_eq!(granted(&[], &[]).unwrap(), scopes(&[]));
        for (registered, default, why) in [
            (&["a"][..], &["admin"][..], "none of the default scopes of the client is registered"),
            (&[], &["admin"], "none of the default scopes of the client is registered"),
            (&["a"], &[], "the client has no default scopes"),
        ] {
            let Err(Error::InvalidScope(refusal)) = granted(registered, default) else {
                panic!("{default:?} is granted")
            };
            assert!(refusal.starts_with(why), "{refusal}");
        }
    }
}
