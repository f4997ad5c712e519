//! Issue an access token.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use super::{AuthenticatedClient, Authority};
use crate::domain::{
    AccessToken, Audience, Client, ClientState, Clock, Error, GrantType, Granted, Lane, Scope,
    TokenText,
};

/// What is asked for. Empty sets ask for what is registered as the default.
#[derive(Debug)]
pub struct IssueRequest {
    /// The grant by which the token is asked for.
    pub grant: GrantType,
    /// The scopes that the token shall carry.
    pub scopes: BTreeSet<Scope>,
    /// The resource servers that the token shall be for.
    pub resources: BTreeSet<Audience>,
}

/// A token that was recorded.
#[derive(Debug)]
pub struct IssuedToken {
    /// The token in clear, for the one answer that carries it.
    pub token: TokenText,
    /// The time it has left, to the nearest second.
    pub expires_in: Duration,
    /// What it is good for.
    pub granted: Arc<Granted>,
}

impl Authority {
    /// Issues an access token to a caller (RFC 6749, section 4.4).
    ///
    /// # Errors
    /// `UnauthorizedClient`, `InvalidScope`, `InvalidTarget`, and what the store says. Where it
    /// says `Unavailable`, a token may have been recorded that nobody has: it dies unused.
    pub async fn issue(
        &self,
        caller: &AuthenticatedClient,
        request: IssueRequest,
    ) -> Result<IssuedToken, Error> {
        let client = &caller.client;

        // 1. The client may use the grant.
        if !client.grants.contains(&request.grant) {
            return Err(Error::UnauthorizedClient);
        }

        // 2. Narrow scopes and audiences to what is registered.
        let scopes = granted_scopes(client, request.scopes)?;
        let audiences = granted_audiences(client, request.resources)?;
        let granted = Arc::new(Granted { scopes, audiences });

        // 3. Mint. The lifetime is kept to the microsecond, so that a token lives neither longer
        //    nor shorter than was registered; `iat` and `exp` lose the same fraction of a second.
        let now = self.clock.now();
        let token = TokenText::mint(now, self.random.as_ref(), &self.tag_key)?;
        let recorded = AccessToken {
            id: token.id(),
            digest: token.digest(),
            client: client.key,
            secret: caller.secret,
            granted: Arc::clone(&granted),
            issued_at: now,
            expires_at: now.plus(client.token_lifetime.duration()),
        };

        // 4. Record it durably, if the client and its secret are still in use; only then is there a
        //    token. A request may have waited for its hash while somebody disabled its client.
        let expires_at = recorded.expires_at;
        let is_recorded = self.cache.record(recorded).await?;

        // 5. Nothing may have changed unseen until here. What is acknowledged from now on was
        //    acknowledged after the token was there.
        if !is_recorded || !self.cache.is_current(caller.watch.as_ref()) {
            self.check_again(caller, is_recorded).await?;
        }

        // 6. Answer with the time that is left now, not with the time that was given. To the
        //    nearest second: rounded down, the milliseconds of the write would cost everyone one.
        let left = expires_at.since(self.clock.now());
        let expires_in = Duration::from_secs((left + Duration::from_millis(500)).as_secs());
        Ok(IssuedToken { token, expires_in, granted })
    }

    /// Asks the database whether the caller is still as it was when it was authenticated. A token
    /// that was recorded and is not answered dies unused.
    async fn check_again(
        &self,
        caller: &AuthenticatedClient,
        is_recorded: bool,
    ) -> Result<(), Error> {
        let (client_id, secret) = (&caller.client.client_id, caller.secret);
        let found = self.cache.read_client(Lane::Issue, client_id, secret).await?;
        let found = found.filter(|found| {
            let secret = found.secret.as_ref();
            found.client.state == ClientState::Active
                && secret.is_some_and(|secret| secret.is_live(self.clock.now()))
        });
        let Some(found) = found else { return Err(Error::InvalidClient) };
        if is_recorded && found.client == caller.client {
            return Ok(());
        }
        Err(Error::unavailable("the client was changed while a token was issued to it"))
    }
}

/// All of the scopes asked for, or an error: RFC 6749 would allow to grant fewer, and then a
/// client learns only from a failing call elsewhere that it lacks one.
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
    // A scope that was taken away is no default any more, whatever the row says.
    let granted: BTreeSet<_> =
        client.default_scopes.intersection(&client.scopes).cloned().collect();
    if granted.is_empty() && !client.default_scopes.is_empty() {
        return Err(Error::InvalidScope(
            "none of the default scopes of the client is registered for it any more",
        ));
    }
    Ok(granted)
}

fn granted_audiences(
    client: &Client,
    asked: BTreeSet<Audience>,
) -> Result<BTreeSet<Audience>, Error> {
    if asked.is_empty() {
        return Ok(client.audiences.clone());
    }
    if asked.is_subset(&client.audiences) {
        return Ok(asked);
    }
    Err(Error::InvalidTarget("a requested resource is not registered for the client"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{ClientId, ClientKey, ClientState, Timestamp, TokenLifetime};

    fn scopes(names: &[&str]) -> BTreeSet<Scope> {
        Scope::parse_set(names).unwrap()
    }

    fn granted(registered: &[&str], default: &[&str]) -> Result<BTreeSet<Scope>, Error> {
        let client = Client {
            key: ClientKey(uuid::Uuid::nil()),
            client_id: ClientId::parse("orders").unwrap(),
            name: String::new(),
            state: ClientState::Active,
            grants: BTreeSet::new(),
            scopes: scopes(registered),
            default_scopes: scopes(default),
            audiences: BTreeSet::new(),
            serves: BTreeSet::new(),
            token_lifetime: TokenLifetime::DEFAULT,
            not_before: None,
            created_at: Timestamp::from_unix_micros(0),
            version: 1,
        };
        granted_scopes(&client, BTreeSet::new())
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
