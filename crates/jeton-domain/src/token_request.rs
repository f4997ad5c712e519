//! Requests for a token, and what a client gets for one.

mod audience;

use std::collections::BTreeSet;

use self::audience::granted_audiences;
use super::{Audience, Client, Error, GrantType, Granted, Malformed, Scope};

/// A parsed token request. An empty set asks for the client's default.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenRequest {
    /// Grant type of the request.
    pub grant: GrantType,
    /// Requested scopes.
    pub scopes: BTreeSet<Scope>,
    /// Requested audiences, the resource servers that the token is for.
    pub resources: BTreeSet<Audience>,
}

impl TokenRequest {
    /// Parses a request by this grant.
    ///
    /// # Errors
    /// `InvalidScope` and `InvalidTarget`.
    pub fn parse(grant: GrantType, scopes: &[String], resources: &[String]) -> Result<Self, Error> {
        let scopes = Scope::parse_set(scopes);
        let resources = Audience::parse_set(resources);
        Ok(Self {
            grant,
            scopes: scopes.map_err(|Malformed(text)| Error::InvalidScope(text))?,
            resources: resources.map_err(|Malformed(text)| Error::InvalidTarget(text.into()))?,
        })
    }
}

impl Client {
    /// Scopes and audiences of a token that the client requests: what it asks for, or its defaults,
    /// within those registered for it.
    ///
    /// # Errors
    /// `UnauthorizedClient`, `InvalidScope`, `InvalidTarget`.
    pub fn grant(&self, request: TokenRequest) -> Result<Granted, Error> {
        if !self.grants.contains(&request.grant) {
            return Err(Error::UnauthorizedClient);
        }
        let scopes = granted_scopes(self, request.scopes)?;
        let audiences = granted_audiences(self, request.resources)?;
        Ok(Granted { scopes, audiences })
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
    use crate::client::client_for_tests;

    fn scopes(names: &[&str]) -> BTreeSet<Scope> {
        Scope::parse_set(names).unwrap()
    }

    fn granted(registered: &[&str], default: &[&str]) -> Result<BTreeSet<Scope>, Error> {
        let (scopes, default_scopes) = (scopes(registered), scopes(default));
        granted_scopes(&Client { scopes, default_scopes, ..client_for_tests() }, BTreeSet::new())
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
